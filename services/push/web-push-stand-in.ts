/**
 * A browser's push service and its browsers, for tests: HTTPS on a free port of this machine. It
 * checks the sender's signature (RFC 8292) and decrypts what arrives; a script can answer instead.
 */
import { createECDH, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { create } from "@bufbuild/protobuf";
import { importJWK, jwtVerify } from "jose";
import { type PushToken, PushTokenSchema } from "../../gen/parley/session/v1/session_pb.js";
import { makeCertificate } from "./stand-in-certificate.ts";
import { decryptWebPush, type WebPushReceiver } from "./web-push-decrypt.ts";

/** A push as its page gets it. */
export interface WebPushArrival {
  endpoint: string;
  headers: IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they please.
  payload: any;
}

/** An answer of the service's. */
export interface WebPushAnswer {
  status: number;
  headers?: Record<string, string>;
}

/** See the head of this file. */
export class WebPushStandIn {
  /** What was taken over, in order. */
  readonly taken: WebPushArrival[] = [];
  /** Requests, whatever became of them. */
  arrivals = 0;
  /** Answers in the service's place; undefined: 201. A promise that stays pending hangs. */
  script: (endpoint: string) => WebPushAnswer | undefined | Promise<WebPushAnswer | undefined> =
    () => undefined;
  /** Whom to trust, PEM. */
  readonly ca: string;
  /** The keys that senders sign with. */
  readonly vapid: { publicKey: string; privateKey: string; subject: string };
  /** "127.0.0.1:49152", for PARLEY_WEB_PUSH_PRIVATE_HOSTS. */
  host = "";
  private readonly server: Server;
  private readonly receivers = new Map<string, WebPushReceiver>();

  private constructor() {
    const certificate = makeCertificate();
    this.ca = certificate.cert;
    const pair = createECDH("prime256v1");
    const publicKey = pair.generateKeys("base64url");
    // A number that may begin with zeros, which keys have and this answer has not.
    const number = pair.getPrivateKey("hex").padStart(64, "0");
    const privateKey = Buffer.from(number, "hex").toString("base64url");
    this.vapid = { publicKey, privateKey, subject: "mailto:push@example.org" };
    this.server = createServer(certificate, (request, response) => {
      void this.answer(request, response);
    });
  }

  static async start(): Promise<WebPushStandIn> {
    const standIn = new WebPushStandIn();
    standIn.server.listen(0, "127.0.0.1");
    await once(standIn.server, "listening");
    standIn.host = `127.0.0.1:${(standIn.server.address() as AddressInfo).port}`;
    return standIn;
  }

  /** A browser subscribes. */
  subscribe(): PushToken {
    const pair = createECDH("prime256v1");
    const p256dh = new Uint8Array(pair.generateKeys());
    const auth = new Uint8Array(randomBytes(16));
    const endpoint = `https://${this.host}/push/${randomBytes(16).toString("base64url")}`;
    this.receivers.set(endpoint, { privateKey: pair.getPrivateKey(), auth });
    return create(PushTokenSchema, {
      service: { case: "webPush", value: { endpoint, p256dh, auth } },
    });
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.arrivals++;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const endpoint = `https://${this.host}${request.url}`;
    const answer = (await this.refusal(request, endpoint)) ?? (await this.script(endpoint));
    const { status, headers = {} } = answer ?? { status: 201 };
    const isTaken = status >= 200 && status < 300;
    if (isTaken) {
      const body = decryptWebPush(Buffer.concat(chunks), this.receivers.get(endpoint)!);
      this.taken.push({ endpoint, headers: request.headers, payload: JSON.parse(body) });
    }
    response.writeHead(status, headers).end();
  }

  /** Why a request is refused. */
  private async refusal(
    { method, headers }: IncomingMessage,
    endpoint: string,
  ): Promise<WebPushAnswer | undefined> {
    if (!this.receivers.has(endpoint)) return { status: 404 };
    const isFit = method === "POST" && headers["content-encoding"] === "aes128gcm" && headers.ttl;
    if (!isFit) return { status: 400 };
    const [, token = "", key] =
      /^vapid t=([^,]+), ?k=(.+)$/.exec(headers.authorization ?? "") ?? [];
    if (key !== this.vapid.publicKey) return { status: 403 };
    const point = Buffer.from(key, "base64url");
    const x = point.subarray(1, 33).toString("base64url");
    const y = point.subarray(33).toString("base64url");
    const publicKey = await importJWK({ kty: "EC", crv: "P-256", x, y }, "ES256");
    try {
      await jwtVerify(token, publicKey, { audience: `https://${this.host}` });
      return undefined;
    } catch {
      return { status: 401 };
    }
  }
}
