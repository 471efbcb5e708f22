/** The sockets of the edge in edge-fake.ts. What arrives does so in a microtask. */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  type Call,
  type ClientFrame,
  ClientFrameSchema,
  type Hello,
  type Send,
  ServerFrameSchema,
} from "../../gen/parley/edge/v1/frame_pb.js";
import type { Item } from "../../gen/parley/log/v1/log_pb.js";
import type { WebSocketLike } from "./socket.ts";

/** The content of a frame to a client. */
export type ServerFrameInit = NonNullable<MessageInitShape<typeof ServerFrameSchema>["frame"]>;

/** What a connection needs of its edge. */
export interface FakeSocketOwner {
  /** Connections that are open, or about to be. */
  readonly sockets: Set<FakeSocket>;
  /** Entries of the inbox; entry n has the sequence n + 1. */
  readonly inbox: readonly Item[][];
  /** The frames that clients have sent, in order. */
  readonly frames: ClientFrame["frame"][];
  /** Refuses handshakes. */
  readonly down: boolean;
  /** Never answers anything. */
  readonly silent: boolean;
  onHello(socket: FakeSocket, hello: Hello): void;
  onSend(socket: FakeSocket, send: Send): void;
  onCall(socket: FakeSocket, call: Call): void;
}

/** One connection, from the client's side. */
export class FakeSocket implements WebSocketLike {
  binaryType = "";
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: (() => void) | null = null;
  position = 0;
  welcomed = false;
  private readonly edge: FakeSocketOwner;

  constructor(edge: FakeSocketOwner) {
    this.edge = edge;
    edge.sockets.add(this);
    queueMicrotask(() => {
      if (edge.down) this.end(1006, "");
      else this.onopen?.();
    });
  }

  send(data: Uint8Array<ArrayBuffer> | string): void {
    const { frame } = fromBinary(ClientFrameSchema, data as Uint8Array);
    queueMicrotask(() => this.receive(frame));
  }

  close(code = 1005): void {
    queueMicrotask(() => this.end(code, ""));
  }

  end(code: number, reason: string): void {
    if (!this.edge.sockets.delete(this)) return;
    this.onclose?.({ code, reason });
  }

  deliverFrame(frame: ServerFrameInit): void {
    const bytes = toBinary(ServerFrameSchema, create(ServerFrameSchema, { frame }));
    queueMicrotask(() => {
      if (this.edge.sockets.has(this)) this.onmessage?.({ data: bytes.slice().buffer });
    });
  }

  /** Gives the device what it lacks, an entry to a frame. */
  pump(): void {
    if (!this.welcomed) return;
    while (this.position < this.edge.inbox.length) {
      const items = this.edge.inbox[this.position]!;
      const delivery = {
        inboxSequence: BigInt(this.position + 1),
        prevInboxSequence: BigInt(this.position),
        entry: { items },
      };
      this.position++;
      this.deliverFrame({ case: "deliveries", value: { deliveries: [delivery] } });
    }
  }

  private receive(frame: ClientFrame["frame"]): void {
    const { edge } = this;
    if (!edge.sockets.has(this)) return;
    edge.frames.push(frame);
    if (edge.silent) return;
    if (frame.case === "hello") edge.onHello(this, frame.value);
    else if (frame.case === "send") edge.onSend(this, frame.value);
    else if (frame.case === "call") edge.onCall(this, frame.value);
    else if (frame.case === "heartbeat") this.deliverFrame({ case: "heartbeatResult", value: {} });
  }
}
