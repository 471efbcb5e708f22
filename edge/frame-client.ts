/** Clients for tests of the edge: each keeps what it hears, whatever carries it. */
import {
  create,
  fromBinary,
  fromJsonString,
  type MessageInitShape,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { WebSocket } from "ws";
import {
  ClientFrameSchema,
  ClientFramesSchema,
  type ServerFrame,
  ServerFrameSchema,
  ServerFramesSchema,
} from "../gen/parley/edge/v1/frame_pb.js";

type ClientFrameInit = NonNullable<MessageInitShape<typeof ClientFrameSchema>["frame"]>;

/** What a device has of its inbox. */
export type Position = { inboxEpoch: string; inboxSequence: bigint };

/** How a connection ended. */
export interface Closed {
  code: number;
  reason: string;
}

/** A client, as far as it does not matter what carries its frames. */
export abstract class FrameClient {
  readonly frames: ServerFrame["frame"][] = [];
  /** Code and reason, once it is closed. */
  readonly closed: Promise<Closed>;
  protected onClosed: (closed: Closed) => void = () => {};
  private wake: () => void = () => {};

  constructor() {
    this.closed = new Promise((resolve) => {
      this.onClosed = resolve;
    });
  }

  /** Sends a frame. */
  abstract send(frame: ClientFrameInit): void;

  /** Goes away without a word. */
  abstract end(): void;

  protected hear(frame: ServerFrame["frame"]): void {
    this.frames.push(frame);
    this.wake();
  }

  /** Takes the next frame, which must be of this kind. */
  async next<K extends NonNullable<ServerFrame["frame"]["case"]>>(
    kind: K,
  ): Promise<Extract<ServerFrame["frame"], { case: K }>["value"]> {
    const frame = await this.any();
    if (frame.case !== kind) throw new Error(`wanted ${kind}, got ${frame.case}`);
    return frame.value as never;
  }

  /** Takes the next frame. */
  async any(): Promise<ServerFrame["frame"]> {
    while (this.frames.length === 0) {
      await new Promise<void>((resolve, reject) => {
        this.wake = resolve;
        void this.closed.then((closed) => reject(new Error(`closed: ${JSON.stringify(closed)}`)));
      });
    }
    return this.frames.shift()!;
  }

  /** Takes inbox entries until there are `count`, and gives their texts. */
  async texts(count: number): Promise<string[]> {
    const texts: string[] = [];
    while (texts.length < count) {
      const { deliveries } = await this.next("deliveries");
      for (const { entry } of deliveries) {
        for (const { item } of entry!.items) {
          if (item.case === "message") texts.push(String(item.value.body.value));
        }
      }
    }
    return texts;
  }

  /** Shows that the connection works. */
  async isAlive(): Promise<boolean> {
    this.send({ case: "heartbeat", value: {} });
    await this.next("heartbeatResult");
    return true;
  }
}

/** A client on a WebSocket. */
export class SocketClient extends FrameClient {
  readonly ws: WebSocket;
  private readonly isJson: boolean;

  constructor(url: string, subprotocol: string, headers: Record<string, string> = {}) {
    super();
    this.ws = new WebSocket(url, subprotocol, { headers });
    this.isJson = subprotocol === "parley.v1.json";
    this.ws.on("message", (data: Buffer) => {
      const { frame } = this.isJson
        ? fromJsonString(ServerFrameSchema, data.toString())
        : fromBinary(ServerFrameSchema, data);
      this.hear(frame);
    });
    this.ws.on("error", () => {});
    this.ws.on("close", (code, reason) => this.onClosed({ code, reason: reason.toString() }));
  }

  send(frame: ClientFrameInit): void {
    const message = create(ClientFrameSchema, { frame });
    if (this.isJson) this.ws.send(toJsonString(ClientFrameSchema, message));
    else this.ws.send(toBinary(ClientFrameSchema, message));
  }

  end(): void {
    this.ws.terminate();
  }
}

/** A client over HTTP, signed in with this token from this position on. */
export class HttpClient extends FrameClient {
  /** Where its next turn goes on. */
  lastEventId = "";
  private readonly url: string;
  private readonly headers: Record<string, string>;
  private readonly over = new AbortController();

  constructor(url: string, way: "events" | "poll", accessToken: string, position?: Position) {
    super();
    this.url = url;
    this.headers = { authorization: `Bearer ${accessToken}` };
    const hello = toJsonString(
      ClientFrameSchema,
      create(ClientFrameSchema, { frame: { case: "hello", value: { ...position } } }),
    );
    void this.takeTurns(way, hello).catch(() => {});
  }

  /** A post of its own for every frame. */
  send(frame: ClientFrameInit): void {
    const frames = { frames: [{ frame }] };
    const body = toJsonString(ClientFramesSchema, create(ClientFramesSchema, frames));
    const { headers } = this;
    void fetch(`${this.url}/v1/frames`, { method: "POST", headers, body }).then(async (answer) => {
      for (const line of (await answer.text()).split("\n")) if (line) this.hearText(line);
    });
  }

  end(): void {
    this.over.abort();
  }

  private async takeTurns(way: "events" | "poll", body: string): Promise<void> {
    while (!this.over.signal.aborted) {
      const { signal } = this.over;
      const headers = { ...this.headers, "last-event-id": this.lastEventId };
      const init = { method: "POST", headers, body, signal };
      const response = await fetch(`${this.url}/v1/${way}`, init);
      if (way === "events" && response.ok) await this.readEvents(response.body!);
      else this.readPoll(await response.text());
    }
  }

  private async readEvents(body: AsyncIterable<Uint8Array>): Promise<void> {
    let text = "";
    for await (const chunk of body) {
      text += Buffer.from(chunk).toString("latin1");
      const events = text.split("\n\n");
      text = events.pop()!;
      for (const event of events) {
        const lines = event.split("\n").map((line) => line.split(/: ?(.*)/s, 2));
        const { id, event: name, data } = Object.fromEntries(lines);
        this.lastEventId = id ?? this.lastEventId;
        const utf8 = Buffer.from(data ?? "", "latin1").toString();
        if (name === "close") this.onEnd(JSON.parse(utf8));
        else if (data) this.hearText(utf8);
      }
    }
  }

  private readPoll(text: string): void {
    const { frames, lastEventId, close } = fromJsonString(ServerFramesSchema, text, {
      ignoreUnknownFields: true,
    });
    for (const { frame } of frames) this.hear(frame);
    this.lastEventId = lastEventId;
    if (close) this.onEnd(close);
  }

  private onEnd(closed: Closed): void {
    this.end();
    this.onClosed(closed);
  }

  private hearText(text: string): void {
    this.hear(fromJsonString(ServerFrameSchema, text).frame);
  }
}
