/** One device of the load: a socket, signed in with its token. */
import { once } from "node:events";
import { WebSocket } from "ws";
import type { ServerFrame } from "../gen/parley/edge/v1/frame_pb.js";
import { DeliveryMode } from "../gen/parley/message/v1/message_pb.js";
import { type ChannelUpdate, ChannelUpdateState } from "../gen/parley/message/v1/sync_pb.js";
import { encodeFrame, type FrameReader, readFrame } from "./load-frames.ts";

/** Who connects. */
export interface LoadUser {
  userId: string;
  accessToken: string;
}

/** Told what arrives; see {@link FrameReader}. */
export interface LoadListener {
  onAccepted(client: LoadClient, requestId: number): void;
  onItem(
    client: LoadClient,
    channelSequence: number,
    sender: number,
    number: number,
    dueUs: number,
  ): void;
}

const connected = new Set<LoadClient>();

/** Closes every client of this process: to be done before the server is stopped. */
export async function closeClients(): Promise<void> {
  await Promise.all(Array.from(connected, (client) => client.close()));
}

/**
 * A connection. What a bench doesn't expect, a close, a refused send or a pause for being slow,
 * is thrown and ends the process: figures of a run that went wrong are worth nothing.
 */
export class LoadClient implements FrameReader {
  readonly user: LoadUser;
  /** Its place among the members of its channel. */
  member = 0;
  /** Told what arrives, if anybody is. */
  listener: LoadListener | undefined;
  /** What it has of its inbox: where it goes on when it connects. */
  readonly position = { inboxEpoch: "", inboxSequence: 0 };
  /** As Welcome asks for. */
  heartbeatIntervalMs = 0;
  /** Inbox entries that have arrived. */
  entries = 0;
  /** Bytes of all frames that have arrived. */
  bytes = 0;
  private ws: WebSocket | undefined;
  private onCaughtUp = () => {};
  private onUpdate: (update: ChannelUpdate) => void = () => {};
  private isClosing = false;

  constructor(user: LoadUser) {
    this.user = user;
  }

  /**
   * Connects and resolves when it has all of its inbox, with the milliseconds from the sending of
   * Hello to CaughtUp. A client that connects again goes on from where it was.
   */
  async connect(url: string): Promise<number> {
    const ws = new WebSocket(`${url.replace("http", "ws")}/ws`, "parley.v1.protobuf", options);
    this.ws = ws;
    this.isClosing = false;
    ws.on("message", (data: Buffer) => this.receive(data));
    await once(ws, "open");
    connected.add(this);
    ws.on("close", (code, reason) => {
      connected.delete(this);
      if (!this.isClosing) this.fail(`the server closed with ${code} ${reason}`);
    });
    const caughtUp = new Promise<void>((resolve) => {
      this.onCaughtUp = resolve;
    });
    const start = performance.now();
    const { accessToken } = this.user;
    const { inboxEpoch, inboxSequence } = this.position;
    const hello = { accessToken, inboxEpoch, inboxSequence: BigInt(inboxSequence) };
    ws.send(encodeFrame({ frame: { case: "hello", value: hello } }));
    await caughtUp;
    return performance.now() - start;
  }

  /** Follows a LIVE channel from its end; resolves when what is sent from now on will come. */
  async follow(channelId: string, lastChannelSequence: number): Promise<void> {
    const updated = new Promise<ChannelUpdate>((resolve) => {
      this.onUpdate = resolve;
    });
    const channels = [{ channelId, channelSequence: lastChannelSequence }];
    this.send(encodeFrame({ frame: { case: "followChannels", value: { channels } } }));
    const { state, mode, member } = await updated;
    if (state === ChannelUpdateState.CURRENT && mode === DeliveryMode.LIVE && member) return;
    this.fail(`follows nothing: ${ChannelUpdateState[state]}, ${DeliveryMode[mode]}, ${member}`);
  }

  /** Writes an encoded frame. */
  send(frame: Buffer): void {
    this.ws!.send(frame);
  }

  /** Resolves when it is closed. */
  async close(): Promise<void> {
    this.isClosing = true;
    const closed = once(this.ws!, "close");
    this.ws!.close(1000);
    await closed;
  }

  onAccepted(requestId: number): void {
    this.listener?.onAccepted(this, requestId);
  }

  onDelivery(inboxSequence: number): void {
    this.position.inboxSequence = inboxSequence;
    this.entries++;
  }

  onItem(channelSequence: number, sender: number, number: number, dueUs: number): void {
    this.listener?.onItem(this, channelSequence, sender, number, dueUs);
  }

  onOther(frame: ServerFrame["frame"]): void {
    if (frame.case === "welcome") {
      const { heartbeatIntervalMs, inboxEpoch, inboxSequence } = frame.value;
      this.heartbeatIntervalMs = heartbeatIntervalMs;
      this.position.inboxEpoch = inboxEpoch;
      this.position.inboxSequence = Number(inboxSequence);
    } else if (frame.case === "caughtUp") this.onCaughtUp();
    else if (frame.case === "followChannelsResult") this.onUpdate(frame.value.updates[0]!);
    else if (frame.case !== "heartbeatResult" && frame.case !== "event") {
      this.fail(`unexpected ${JSON.stringify(frame, (_, value) => asText(value))}`);
    }
  }

  private receive(data: Buffer): void {
    this.bytes += data.length;
    readFrame(data, this);
  }

  private fail(why: string): never {
    throw new Error(`client of ${this.user.userId}: ${why}`);
  }
}

/**
 * A masking key costs a client a random number a frame. A constant one that isn't zero saves that
 * and leaves the server all of its own part.
 */
const options = {
  perMessageDeflate: false,
  skipUTF8Validation: true,
  generateMask: (mask: Buffer) => void mask.writeUInt32BE(0x5bd1e995),
};

/** JSON knows no bigint. */
function asText(value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
