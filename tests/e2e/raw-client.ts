/** A client without the SDK's good manners: JSON frames as they come, for tests of what goes wrong. */
import { once } from "node:events";
import { WebSocket } from "ws";

/** A frame as ProtoJSON. */
export type Frame = Record<string, Record<string, unknown>>;

/** One WebSocket. */
export class RawClient {
  readonly ws: WebSocket;
  /** How it ended. */
  readonly closed: Promise<{ code: number; reason: string }>;
  private readonly frames: Frame[] = [];
  private readonly waiting = new Set<() => void>();

  private constructor(ws: WebSocket) {
    this.ws = ws;
    ws.on("message", (data: Buffer, isBinary) => {
      if (isBinary) return;
      this.frames.push(JSON.parse(data.toString()));
      for (const look of this.waiting) look();
    });
    // A close event follows.
    ws.on("error", () => {});
    this.closed = once(ws, "close").then(([code, reason]) => ({ code, reason: `${reason}` }));
  }

  /** Opens a socket and says nothing. */
  static async open(url: string, subprotocol = "parley.v1.json"): Promise<RawClient> {
    const client = new RawClient(new WebSocket(`${url.replace("http", "ws")}/ws`, subprotocol));
    await once(client.ws, "open");
    return client;
  }

  /** Opens a socket and signs in; resolves when it has caught up. */
  static async signIn(url: string, accessToken: string): Promise<RawClient> {
    const client = await RawClient.open(url);
    client.send({ hello: { accessToken } });
    await client.next("caughtUp");
    return client;
  }

  send(frame: Frame): void {
    this.ws.send(JSON.stringify(frame));
  }

  /** The next frame with this content, whatever comes before it. */
  next(name: string): Promise<Record<string, unknown>> {
    return new Promise((resolve) => {
      const look = () => {
        const at = this.frames.findIndex((frame) => name in frame);
        if (at < 0) return;
        this.waiting.delete(look);
        const [frame] = this.frames.splice(0, at + 1).slice(-1);
        resolve(frame![name]!);
      };
      this.waiting.add(look);
      look();
    });
  }

  /** Sends a text; resolves with what SendResult holds. */
  async sendText(request: Record<string, unknown>): Promise<Record<string, unknown>> {
    this.send({ send: { requestId: 1, request } });
    return this.next("sendResult");
  }

  /** Calls a method; resolves with what the next Result holds. */
  async call(
    method: string,
    request: Record<string, unknown>,
    timeoutMs = 0,
  ): Promise<Record<string, unknown>> {
    this.send({ call: { requestId: 1, method, timeoutMs, json: JSON.stringify(request) } });
    return this.next("result");
  }
}
