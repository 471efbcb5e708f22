/** grpcurl, which knows no contract, against the services' own description of themselves. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { signUp } from "../../edge/sdk/index.ts";
import { type ParleyProcess, startParley } from "../parley-process.ts";
import { buildGrpcurl, buildMsMax } from "./toolchains.ts";

const healthContract = join(import.meta.dirname, "../../node_modules/grpc-health-check/proto");
let server: ParleyProcess;
let grpcurl: string;
let authorization: string;

beforeAll(async () => {
  [grpcurl, server] = await Promise.all([buildGrpcurl(), startParley()]);
  const { url } = server;
  const { accessToken } = await signUp({ url, username: "curl", password: "correct horse" });
  authorization = `authorization: Bearer ${accessToken}`;
}, buildMsMax);

afterAll(async () => {
  await server?.stop();
});

/**
 * What it prints; where the call fails, the error's text and details. Its JSON has a space more or
 * less from one version to the next, on purpose.
 */
async function run(...args: string[]): Promise<string> {
  const outcome = await promisify(execFile)(grpcurl, ["-plaintext", ...args]).catch((e) => e);
  return `${outcome.stdout}${outcome.stderr}`;
}

/** As the device that has signed up. */
function call(method: string, request: object = {}): Promise<string> {
  const data = JSON.stringify(request);
  return run("-H", authorization, "-d", data, server.grpcAddress, method);
}

const services = [
  "parley.idgen.v1.IdGenService",
  "parley.message.v1.MessageService",
  "parley.presence.v1.PresenceService",
  "parley.session.v1.SessionService",
];

describe("[K1] reflection", () => {
  it("lists every service and describes all of its methods and their messages", async () => {
    expect((await run(server.grpcAddress, "list")).trim().split("\n")).toEqual(services);
    for (const service of services) {
      const methods = (await run(server.grpcAddress, "list", service)).trim().split("\n");
      for (const method of methods) {
        const described = await run(server.grpcAddress, "describe", method);
        expect(described).toContain(`${method} is a method`);
        const types = [...described.matchAll(/\( (?:stream )?\.(\S+) \)/g)].map(
          ([, type]) => type!,
        );
        expect(types).toHaveLength(2);
        for (const type of types) {
          expect(await run(server.grpcAddress, "describe", type)).toContain(`${type} is a message`);
        }
      }
    }
  }, 60_000);

  it("is enough to call every service, and to read why it refuses", async () => {
    const profile = JSON.parse(await call("parley.session.v1.SessionService/GetProfile"));
    expect(profile.profile.user.username).toBe("curl");
    const { userId } = profile.profile.user;
    expect(await call("parley.message.v1.MessageService/ListChannels")).toBe("{}\n");
    const presences = await call("parley.presence.v1.PresenceService/GetPresence", {
      userIds: [userId],
    });
    expect(presences).toContain(userId);
    const refused = await call("parley.idgen.v1.IdGenService/ReserveIds", { count: 1 });
    expect(refused).toContain("Code: PermissionDenied");
    expect(refused).toMatch(/"reason": *"METHOD_INTERNAL"/);
  });

  it("[K4] is enough to follow an inbox", async () => {
    const following = await run(
      ...["-max-time", "5", "-H", authorization],
      ...[server.grpcAddress, "parley.message.v1.MessageService/Follow"],
    );
    expect(following).toMatch(/"resetReason": *"INBOX_RESET_REASON_NEW_DEVICE"/);
    expect(following).toContain('"caughtUp"');
    expect(following).toContain("Code: DeadlineExceeded");
  });
});

describe("[K1] health", () => {
  it.each(["", ...services])('of "%s" is SERVING', async (service) => {
    const contract = ["-import-path", healthContract, "-proto", "health/v1/health.proto"];
    const request = ["-d", JSON.stringify({ service })];
    const method = [server.grpcAddress, "grpc.health.v1.Health/Check"];
    expect(await run(...contract, ...request, ...method)).toMatch(/"status": *"SERVING"/);
  });
});
