/** Devices' calls as programs in other languages make them: gRPC, with the access token. */
import type { DescService } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { createClient } from "../../edge/sdk/index.ts";
import type { ParleyUnderTest } from "../parley-under-test.ts";
import type { Device } from "./device.ts";

/** Connections to the instance of a service that is found first. */
export class GrpcCalls<S extends DescService> {
  private readonly service: S;
  private readonly sessions: Http2SessionManager;

  private constructor(service: S, address: string) {
    this.service = service;
    this.sessions = new Http2SessionManager(`http://${address}`);
  }

  static async open<S extends DescService>(parley: ParleyUnderTest, service: S) {
    return new GrpcCalls(service, await parley.grpcAddress(service.typeName));
  }

  /** The service's methods for one device. */
  by(device: Device): Client<S> {
    const transport = createGrpcTransport({
      baseUrl: this.sessions.authority,
      sessionManager: this.sessions,
      interceptors: [
        (next) => (request) => {
          request.header.set("authorization", `Bearer ${device.signIn.accessToken}`);
          return next(request);
        },
      ],
    });
    return createClient(this.service, transport);
  }

  close(): void {
    this.sessions.abort();
  }
}
