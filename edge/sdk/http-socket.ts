/**
 * The WebSocket that HTTP requests make where none gets through: what the edge says comes in turns
 * (an event stream, or the answer to a poll, one after the other), what the device says in posts.
 * Frames are JSON, and come parsed.
 */
import { create, toJsonString } from "@bufbuild/protobuf";
import { ClientFrameSchema } from "../../gen/parley/edge/v1/frame_pb.js";
import { readEvents, readLines } from "./event-stream.ts";
import type { SocketOptions, WebSocketLike } from "./socket.ts";
import { type TimeLimit, timeLimit } from "./time-limit.ts";
import type { Timers } from "./timers.ts";
import type { HttpWay } from "./ways.ts";

/** What it works with. */
export interface HttpSocketOptions {
  /** The edge: "https://chat.example.com". */
  url: string;
  /** How the edge's frames come. */
  way: HttpWay;
  fetch: typeof fetch;
  /** For every request anew. */
  accessToken(): Promise<string>;
  /** The device's position, for a turn that finds nothing to go on with. */
  hello(): SocketOptions["hello"];
  timers: Timers;
}

/** A turn in which nothing is heard for so long has failed: streams show life every 15 s. */
const quietMsMax = { sse: 20_000, poll: 35_000 } as const;
/** Posts at once: browsers have six connections to a server, and a turn takes one. */
const postsMax = 4;
/** Frames of a post, and their length; a longer frame travels alone. The edge takes 1.5 MB. */
const postFramesMax = 64;
const postLengthMax = 256 * 1024;
/** Longer than any answer takes: calls are waited for up to 15 s. */
const postMsMax = 30_000;
/** RFC 6455: this side has closed. */
const closed = 1_000;
/** RFC 6455: there was no word of an end. */
const lost = 1_006;
/** The edge's word for that. */
const tokenExpired = 4_005;

const heartbeatResult = { heartbeatResult: {} } as object;

/** One connection over HTTP. */
export class HttpSocket implements WebSocketLike {
  binaryType = "";
  onopen: WebSocketLike["onopen"] = null;
  onmessage: WebSocketLike["onmessage"] = null;
  onclose: WebSocketLike["onclose"] = null;
  onerror: WebSocketLike["onerror"] = null;
  private readonly options: HttpSocketOptions;
  private readonly over = new AbortController();
  private connectionId = "";
  private lastEventId = "";
  private readonly waiting: string[] = [];
  private posts = 0;

  constructor(options: HttpSocketOptions) {
    this.options = options;
    queueMicrotask(() => this.onopen?.());
  }

  send(data: Uint8Array<ArrayBuffer> | string): void {
    const frame = data as string;
    if (frame.startsWith('{"hello"')) void this.run(frame);
    else if (frame.startsWith('{"heartbeat"')) this.answerHeartbeat();
    else if (this.waiting.push(frame) === 1) queueMicrotask(() => this.postMore());
  }

  /** What waits is posted still, and what it is answered is not read. */
  close(): void {
    if (this.over.signal.aborted) return;
    this.over.abort(new Error("closed by this side"));
    queueMicrotask(() => this.onclose?.({ code: closed, reason: "" }));
  }

  /** The turns themselves show whether the edge is there. */
  private answerHeartbeat(): void {
    queueMicrotask(() => this.tell(heartbeatResult));
  }

  private async run(firstHello: string): Promise<void> {
    try {
      for (let hello = firstHello; !this.over.signal.aborted; hello = this.nextHello()) {
        if (!(await this.takeTurn(hello))) return;
      }
    } catch (error) {
      this.end(lost, `the connection was lost: ${error}`);
    }
  }

  /** @returns whether there is a next one */
  private async takeTurn(hello: string): Promise<boolean> {
    const { way, timers } = this.options;
    const quiet = timeLimit(timers, quietMsMax[way], this.over.signal);
    try {
      const path = way === "sse" ? "/v1/events" : "/v1/poll";
      const headers = this.lastEventId === "" ? {} : { "last-event-id": this.lastEventId };
      const response = await this.request(path, headers, hello, quiet);
      if (response.status !== 200) return await this.refused(response);
      return await (way === "sse" ? this.readStream(response, quiet) : this.readPoll(response));
    } finally {
      quiet.release();
    }
  }

  private async readStream(response: Response, quiet: TimeLimit): Promise<boolean> {
    let isEmpty = true;
    for await (const { id, name, data } of readEvents(response.body!, () => quiet.restart())) {
      isEmpty = false;
      const value = JSON.parse(data);
      if (name === "close") {
        this.end(value.code, value.reason);
        return false;
      }
      this.tell(value);
      if (id !== "") this.lastEventId = id;
    }
    // Without anything in it, it is no stream of the edge's, which would end at once and for ever.
    if (isEmpty && this.lastEventId === "") throw new Error("an event stream without an event");
    return true;
  }

  private async readPoll(response: Response): Promise<boolean> {
    const { frames = [], lastEventId = "" } = await response.json();
    for (const frame of frames) this.tell(frame);
    this.lastEventId = lastEventId;
    return true;
  }

  private async refused(response: Response): Promise<false> {
    const said = await response.json().catch(() => ({}));
    const { code = lost, reason = `the edge answered ${response.status}` } = said.close ?? {};
    this.end(code, reason);
    return false;
  }

  private postMore(): void {
    while (this.posts < postsMax && this.waiting.length > 0) {
      const frames: string[] = [];
      let length = 0;
      do {
        frames.push(this.waiting[0]!);
        length += this.waiting.shift()!.length;
      } while (
        this.waiting.length > 0 &&
        frames.length < postFramesMax &&
        length + this.waiting[0]!.length <= postLengthMax
      );
      void this.post(frames);
    }
  }

  private async post(frames: readonly string[]): Promise<void> {
    const limit = timeLimit(this.options.timers, postMsMax);
    // Any edge may take a post, but for what is about the connection itself.
    const isBound = frames.some((frame) => frame.startsWith('{"followChannels"'));
    const headers = isBound ? { "parley-connection": this.connectionId } : {};
    const body = `{"frames":[${frames.join(",")}]}`;
    this.posts++;
    try {
      const response = await this.request("/v1/frames", headers, body, limit);
      if (response.status === 200) {
        for await (const line of readLines(response.body!)) this.tell(JSON.parse(line));
      } else {
        const { reason, detail } = await response.json();
        this.end(reason === "TOKEN_EXPIRED" ? tokenExpired : lost, detail);
      }
    } catch (error) {
      this.end(lost, `a post was lost: ${error}`);
    }
    limit.release();
    this.posts--;
    this.postMore();
  }

  private async request(
    path: string,
    more: Record<string, string>,
    body: string,
    { signal }: TimeLimit,
  ): Promise<Response> {
    const { url, fetch, accessToken } = this.options;
    const authorization = `Bearer ${await accessToken()}`;
    const headers = { ...more, authorization, "content-type": "application/json" };
    return fetch(url + path, { method: "POST", headers, body, signal, cache: "no-store" });
  }

  private nextHello(): string {
    const frame = { case: "hello", value: { ...this.options.hello(), accessToken: "" } } as const;
    return toJsonString(ClientFrameSchema, create(ClientFrameSchema, { frame }));
  }

  private tell(frame: { welcome?: { connectionId: string } }): void {
    if (frame.welcome) this.connectionId = frame.welcome.connectionId;
    if (!this.over.signal.aborted) this.onmessage?.({ data: frame });
  }

  private end(code: number, reason: string): void {
    if (this.over.signal.aborted) return;
    this.over.abort(new Error(reason));
    this.waiting.length = 0;
    this.onclose?.({ code, reason });
  }
}
