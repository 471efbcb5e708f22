/** What callers in other languages find at the gRPC address, with nothing but a gRPC library. */
import { promisify } from "node:util";
import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";

const services = [
  "parley.idgen.v1.IdGenService",
  "parley.message.v1.MessageService",
  "parley.presence.v1.PresenceService",
  "parley.session.v1.SessionService",
];

let parley: ParleyUnderTest;
let clients: ReadonlyMap<string, grpc.Client>;
beforeAll(async () => {
  parley = await openParley();
  const insecure = grpc.credentials.createInsecure();
  clients = new Map(
    await Promise.all(
      services.map(async (service) => {
        const address = await parley.grpcAddress(service);
        return [service, new grpc.Client(address, insecure)] as const;
      }),
    ),
  );
});
afterAll(async () => {
  for (const client of clients.values()) client.close();
  await parley.stop();
});

/** grpc.reflection.v1.ServerReflection's one method, with requests and responses as bytes. */
async function reflect(client: grpc.Client, request: Buffer): Promise<Uint8Array> {
  const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
  const asIs = (bytes: Buffer) => bytes;
  const stream = client.makeBidiStreamRequest(path, asIs, asIs);
  stream.end(request);
  for await (const response of stream) return response;
  throw new Error("no response");
}

/** The values of a message's fields that are messages, texts or bytes. */
function fields(message: Uint8Array, wanted: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === wanted && wireType === WireType.LengthDelimited) found.push(reader.bytes());
    else reader.skip(wireType);
  }
  return found;
}

it("[K1] reflection lists the services", async () => {
  for (const [service, client] of clients) {
    // list_services = 7; the answer's list_services_response = 6, its service = 1, that one's name = 1.
    const response = await reflect(client, Buffer.from([0x3a, 0]));
    const [list] = fields(response, 6);
    const names = fields(list!, 1).map((each) => `${Buffer.from(fields(each, 1)[0]!)}`);
    expect(names).toContain(service);
  }
});

it("[K1] reflection gives the contract of every service", async () => {
  for (const [service, client] of clients) {
    // file_containing_symbol = 4; the answer's file_descriptor_response = 4, its files = 1.
    const name = Buffer.from(service);
    const response = await reflect(client, Buffer.concat([Buffer.from([0x22, name.length]), name]));
    const files = fields(fields(response, 4)[0]!, 1).map((file) =>
      fromBinary(FileDescriptorProtoSchema, file),
    );
    const found = files.find((file) => service.startsWith(file.package))!;
    expect(found.service.map((each) => `${found.package}.${each.name}`)).toContain(service);
  }
});

it("[K1] health answers SERVING for every service", async () => {
  const { requestSerialize, responseDeserialize, path } = healthService.Check!;
  const check = (client: grpc.Client, service: string) =>
    promisify((done: grpc.requestCallback<object>) =>
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service }, done),
    )();
  for (const [service, client] of clients) {
    for (const asked of ["", service]) {
      expect(await check(client, asked)).toMatchObject({ status: "SERVING" });
    }
  }
});

it("[K1] a caller without the mesh's secret is refused", async () => {
  const client = clients.get("parley.session.v1.SessionService")!;
  const asIs = (bytes: Buffer) => bytes;
  const path = "/parley.session.v1.SessionService/ListSigningKeys";
  const call = promisify((done: grpc.requestCallback<Buffer>) =>
    client.makeUnaryRequest(path, asIs, asIs, Buffer.alloc(0), done),
  )();
  await expect(call).rejects.toMatchObject({ code: grpc.status.UNAUTHENTICATED });
});
