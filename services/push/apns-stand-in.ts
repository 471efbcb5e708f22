/**
 * Apple's service for tests and measurements: HTTP/2 over TLS on a free port of this machine. It
 * checks requests as Apple documents, tokens by their signatures; a script can answer instead,
 * late, or not at all.
 */
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import {
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import {
  type ApnsAccount,
  type ApnsAnswer,
  ApnsTokenChecks,
  checkApnsRequest,
} from "./apns-stand-in-checks.ts";
import type { ApnsKey } from "./apns-token.ts";
import { makeCertificate } from "./stand-in-certificate.ts";

/** A notification as it arrived. */
export interface ApnsArrival {
  deviceToken: string;
  collapseId: string;
  /** Of which connection, by its number. */
  connection: number;
  headers: IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they please.
  payload: any;
}

/**
 * Answers in Apple's place; undefined: as Apple does. A promise that stays pending is a stream
 * that hangs.
 */
export type ApnsScript = (
  arrival: ApnsArrival,
) => ApnsAnswer | undefined | Promise<ApnsAnswer | undefined>;

/** See the head of this file. */
export class ApnsStandIn {
  /** What was taken over, in order. */
  readonly taken: ApnsArrival[] = [];
  /** What arrived, whatever became of it. */
  arrivals = 0;
  /** The connections that there were: their numbers are 1 to this. */
  connections = 0;
  /** Those that were cut: answers on them may have been lost. */
  readonly cutConnections = new Set<number>();
  /** Streams at once, at most so far. */
  streamsAtOnce = 0;
  script: ApnsScript = () => undefined;
  /** Whom to trust, PEM, and with what key to sign. */
  readonly ca: string;
  readonly key: ApnsKey;
  readonly topic = "org.example.parley";
  url = "";
  private readonly account: ApnsAccount;
  private readonly server: Http2SecureServer;
  /** With the numbers of their connections. */
  private readonly sessions = new Map<ServerHttp2Session, number>();
  private readonly nowMs: () => number;
  private streams = 0;

  private constructor(options: { streamsMax?: number; nowMs?: () => number }) {
    const certificate = makeCertificate();
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const privateKey = pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    this.ca = certificate.cert;
    this.key = { privateKey, keyId: "ABC123DEFG", teamId: "DEF123GHIJ" };
    this.account = { ...this.key, publicKey: pair.publicKey, topic: this.topic };
    this.nowMs = options.nowMs ?? Date.now;
    const { streamsMax: maxConcurrentStreams = 1_000 } = options;
    this.server = createSecureServer({ ...certificate, settings: { maxConcurrentStreams } });
    this.server.on("session", (session) => this.accept(session));
  }

  /** Listens. `streamsMax`: streams at once of a connection; `nowMs`: the time for tokens. */
  static async start(
    options: { streamsMax?: number; nowMs?: () => number } = {},
  ): Promise<ApnsStandIn> {
    const standIn = new ApnsStandIn(options);
    standIn.server.listen(0, "127.0.0.1");
    await once(standIn.server, "listening");
    const { port } = standIn.server.address() as AddressInfo;
    standIn.url = `https://127.0.0.1:${port}`;
    return standIn;
  }

  /**
   * Settings with which a process of the role push takes it for Apple's service. Their files are
   * written into the folder.
   */
  settings(folder: string): Record<string, string> {
    const write = (name: string, content: string) => {
      const path = join(folder, name);
      writeFileSync(path, content);
      return path;
    };
    return {
      NODE_EXTRA_CA_CERTS: write("apns-ca.pem", this.ca),
      PARLEY_APNS_KEY_FILE: write("apns-key.p8", this.key.privateKey),
      PARLEY_APNS_KEY_ID: this.key.keyId,
      PARLEY_APNS_TEAM_ID: this.key.teamId,
      PARLEY_APNS_TOPIC: this.topic,
      PARLEY_APNS_URL: this.url,
      PARLEY_APNS_DEVELOPMENT_URL: this.url,
    };
  }

  /** What a device shows: of notifications with one collapse id, the last. */
  shown(deviceToken: string): Map<string, ApnsArrival> {
    const own = this.taken.filter((arrival) => arrival.deviceToken === deviceToken);
    return new Map(own.map((arrival) => [arrival.collapseId, arrival]));
  }

  /**
   * Says on all connections that they end. Streams up to `lastStreamId` are still answered, those
   * after it count as not read; 0: all are answered that were opened.
   */
  goAway(lastStreamId = 0): void {
    for (const session of this.sessions.keys()) {
      if (!session.destroyed) session.goaway(0, lastStreamId);
    }
  }

  /** Cuts all connections. */
  cut(): void {
    for (const [session, connection] of this.sessions) {
      this.cutConnections.add(connection);
      session.destroy();
    }
  }

  /** Ends all. */
  async close(): Promise<void> {
    this.cut();
    if (this.server.listening) await new Promise((resolve) => this.server.close(resolve));
  }

  private accept(session: ServerHttp2Session): void {
    const connection = ++this.connections;
    this.sessions.set(session, connection);
    session.on("error", () => {});
    session.once("close", () => this.sessions.delete(session));
    const tokens = new ApnsTokenChecks(this.account, this.nowMs);
    session.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      stream.once("close", () => this.streams--);
      this.streamsAtOnce = Math.max(this.streamsAtOnce, ++this.streams);
      void this.read(stream, headers, tokens, connection);
    });
  }

  private async read(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    tokens: ApnsTokenChecks,
    connection: number,
  ): Promise<void> {
    let body = "";
    stream.setEncoding("utf8");
    stream.on("data", (chunk: string) => {
      body += chunk;
    });
    // A request whose connection was cut half-way is none.
    const isWhole = await once(stream, "end").then(
      () => true,
      () => false,
    );
    if (!isWhole) return;
    const arrival: ApnsArrival = {
      deviceToken: headers[":path"]?.split("/").at(-1) ?? "",
      collapseId: String(headers["apns-collapse-id"] ?? ""),
      connection,
      headers,
      payload: body && JSON.parse(body),
    };
    this.arrivals++;
    const answer = (await tokens.check(headers.authorization)) ??
      checkApnsRequest(headers, body, this.topic) ??
      (await this.script(arrival)) ?? { status: 200 };
    if (stream.closed || stream.destroyed) return;
    if (answer.status === 200) this.taken.push(arrival);
    const { status, retryAfter, reason, timestamp } = answer;
    stream.respond({ ":status": status, ...(retryAfter && { "retry-after": retryAfter }) });
    stream.end(status === 200 ? "" : JSON.stringify({ reason, timestamp }));
  }
}
