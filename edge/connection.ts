/**
 * One connection, from its Hello to its close. A class of fixed shape that keeps no closures,
 * timers or promises while it is idle, for an edge holds tens of thousands.
 */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ClientFrame,
  type FollowChannels,
  ResetReason as FrameResetReason,
  type Hello,
} from "../gen/parley/edge/v1/frame_pb.js";
import type { ChannelUpdate } from "../gen/parley/message/v1/sync_pb.js";
import type { AccessToken } from "../mesh/access-token.ts";
import type { ChannelBatch } from "../mesh/channel-batch.ts";
import type { ChannelSubscriber, ChannelSubscription } from "../mesh/channel-feeds.ts";
import { DomainError } from "../mesh/errors.ts";
import type {
  FeedDelivery,
  FeedPosition,
  Follower,
  Following,
  ResetReason,
} from "../mesh/subject-feed-following.ts";
import { checkFollowed } from "./channel-frames.ts";
import { CloseCode, closeReason, helloCloseCodes } from "./close-codes.ts";
import type { DeviceConnection } from "./devices.ts";
import type { EdgeContext } from "./edge-context.ts";
import type { FrameCodec, ServerFrameContent } from "./frame-codec.ts";
import type { FrameSocket } from "./frame-socket.ts";
import { checkHello, resumePosition } from "./hello.ts";
import { Outgoing, type OutgoingOwner } from "./outgoing.ts";
import { Requests, type RequestsOwner } from "./requests.ts";
import type { WheelItem } from "./timer-wheel.ts";
import type { Closing } from "./turns.ts";

/** The edge's end of one connection. */
export class Connection
  implements Follower, ChannelSubscriber, DeviceConnection, OutgoingOwner, RequestsOwner, WheelItem
{
  readonly clientAddress: string;
  wheelSlot = -1;
  /** Whose connection it is; undefined before the token is verified. */
  token: AccessToken | undefined;
  private readonly edge: EdgeContext;
  private readonly socket: FrameSocket;
  private readonly codec: FrameCodec;
  private readonly outgoing: Outgoing;
  private readonly number: number;
  private state: State = State.NEW;
  private requests: Requests | undefined;
  private following: Following | undefined;
  /** The LIVE channels that the device follows; undefined: none yet. */
  private channels: ChannelSubscription | undefined;
  private isCaughtUp = false;
  private heardMs: number;
  /** Set: the connection closes with it when nothing is unanswered any more. */
  private retirement: Closing | undefined;

  constructor(
    edge: EdgeContext,
    way: { socket: FrameSocket; codec: FrameCodec },
    number: number,
    clientAddress: string,
  ) {
    this.edge = edge;
    this.socket = way.socket;
    this.codec = way.codec;
    this.outgoing = new Outgoing(edge, way, this);
    this.number = number;
    this.clientAddress = clientAddress;
    this.heardMs = edge.clock.monotonicMs();
    edge.wheel.add(this, edge.config.helloTimeoutMs);
  }

  get isClosed(): boolean {
    return this.state === State.CLOSED;
  }

  /** Devices over HTTP post their calls. */
  get transport(): string {
    return "websocket";
  }

  get format(): FrameCodec["format"] {
    return this.codec.format;
  }

  /** Names it in logs, and to its device. */
  get id(): string {
    return `${this.edge.instanceId}-${this.number.toString(36)}`;
  }

  /** What of the inbox has been handed to the socket. */
  get position(): FeedPosition {
    const epoch = this.token ? this.edge.feeds.epoch(this.token.userId) : "";
    return { epoch, sequence: this.outgoing.writtenTo ?? this.following?.position ?? 0 };
  }

  /** Takes one encoded frame. */
  receive(data: Buffer, isBinary: boolean): void {
    if (this.isClosed) return;
    let frame: ClientFrame["frame"];
    try {
      frame = this.codec.decode(data, isBinary);
    } catch (error) {
      this.close(CloseCode.BAD_FRAME, (error as Error).message);
      return;
    }
    this.receiveFrame(frame);
  }

  /** Takes one frame. */
  receiveFrame(frame: ClientFrame["frame"]): void {
    if (this.isClosed || this.retirement) return;
    this.edge.metrics.framesReceived.inc();
    this.hear();
    try {
      this.take(frame);
    } catch (error) {
      if (error instanceof DomainError) this.close(CloseCode.BAD_FRAME, error.message);
      else this.onFailure(error);
    }
  }

  /** The device has shown that it is there. */
  hear(): void {
    this.heardMs = this.edge.clock.monotonicMs();
  }

  /** Closes from this side. What arrives afterwards is ignored. */
  close(code: CloseCode, reason: string): void {
    if (this.isClosed) return;
    this.edge.metrics.closed.inc({ code });
    this.edge.log.debug({ event: "connection_closed", ...this.ids(), code });
    this.leave(code);
    this.resumeReading();
    this.socket.close(code, closeReason(reason));
  }

  /** Closes when what the device has asked is answered; what it asks from now on is ignored. */
  retire(code: CloseCode, reason: string): void {
    this.retirement = { code, reason };
    this.closeIfRetired();
  }

  /** Ends the socket without a word. */
  drop(): void {
    this.socket.terminate();
  }

  /** The socket has closed, whoever began. */
  onClose(): void {
    if (!this.isClosed) this.leave();
  }

  deliver(delivery: FeedDelivery): boolean {
    const takesMore = this.outgoing.deliver(delivery);
    if (!takesMore && this.isCaughtUp) {
      this.isCaughtUp = false;
      this.send({ case: "lagging", value: {} });
    }
    return takesMore;
  }

  update(updates: ChannelUpdate[]): void {
    this.send({ case: "followChannelsResult", value: { updates } });
  }

  deliverChannel(batch: ChannelBatch): boolean {
    const takesMore = this.outgoing.sendShared(batch.encode(this.codec));
    if (!takesMore) this.send({ case: "lagging", value: {} });
    return takesMore;
  }

  caughtUp(sequence: number): void {
    this.isCaughtUp = true;
    this.send({ case: "caughtUp", value: { inboxSequence: BigInt(sequence) } });
  }

  reset(reason: ResetReason, sequence: number): void {
    this.isCaughtUp = false;
    const value = { reason: FrameResetReason[reason], inboxSequence: BigInt(sequence) };
    if (this.state === State.SIGNING_IN) this.welcome(sequence, value.reason);
    else this.send({ case: "reset", value });
  }

  event(data: Uint8Array): void {
    if (this.state === State.OPEN) this.outgoing.sendEvent(data);
  }

  send(content: ServerFrameContent): void {
    this.outgoing.send(content);
    if (this.retirement) this.closeIfRetired();
  }

  pauseReading(): void {
    if (!this.socket.isPaused) this.socket.pause();
  }

  resumeReading(): void {
    if (this.socket.isPaused) this.socket.resume();
  }

  onLoggedOut(): void {
    this.close(CloseCode.LOGGED_OUT, "the device logged out");
  }

  onDrained(): void {
    if (this.following) this.edge.feeds.resume(this.following);
    this.channels?.resume();
  }

  onOverflow(): void {
    const limit = this.edge.config.bufferHardBytesMax;
    this.close(CloseCode.SLOW_CONSUMER, `more than ${limit} bytes wait to be read`);
  }

  onFailure(error: unknown): void {
    this.edge.log.error({ event: "connection_failed", ...this.ids(), err: error });
    this.close(CloseCode.INTERNAL_ERROR, "internal error");
  }

  onWheel(nowMs: number): number {
    if (this.state === State.NEW) {
      this.close(CloseCode.HELLO_TIMEOUT, "no hello came in time");
    } else if (this.state === State.SIGNING_IN) {
      this.close(CloseCode.UNAVAILABLE, "signing in took too long, try again later");
    }
    const { silenceMsMax, laggingMsMax } = this.edge.config;
    // A paused socket is not read, so that silence is no sign.
    if (this.socket.isPaused) this.heardMs = nowMs;
    const silentInMs = this.heardMs + silenceMsMax - nowMs;
    if (silentInMs <= 0) {
      this.close(CloseCode.HEARTBEAT_TIMEOUT, `nothing was heard for ${silenceMsMax} ms`);
    }
    const tooSlowInMs = (this.outgoing.laggingSinceMs || nowMs) + laggingMsMax - nowMs;
    if (tooSlowInMs <= 0) {
      this.close(CloseCode.SLOW_CONSUMER, `what waits was not read within ${laggingMsMax} ms`);
    }
    return this.isClosed ? 0 : Math.min(silentInMs, tooSlowInMs);
  }

  private take(frame: ClientFrame["frame"]): void {
    const { requests } = this;
    if (frame.case === undefined) {
      this.close(CloseCode.BAD_FRAME, "a frame without anything that this edge knows");
    } else if (frame.case === "hello") {
      if (this.state === State.NEW) void this.signIn(frame.value);
      else this.close(CloseCode.UNEXPECTED_FRAME, "a second hello");
    } else if (!requests || this.state !== State.OPEN) {
      this.close(CloseCode.UNEXPECTED_FRAME, `${frame.case} before welcome`);
    } else if (frame.case === "call") void requests.call(frame.value);
    else if (frame.case === "send") requests.send(frame.value);
    else if (frame.case === "ack") requests.ack(frame.value, this.following?.position ?? 0);
    else if (frame.case === "followChannels") this.followChannels(frame.value);
    else this.send({ case: "heartbeatResult", value: {} });
  }

  /** @throws DomainError FIELD_INVALID */
  private followChannels({ channels }: FollowChannels): void {
    checkFollowed(channels);
    this.channels ??= this.edge.channels.subscribe(this.token!, this);
    this.channels.follow(channels);
  }

  private async signIn(hello: Hello): Promise<void> {
    const { verifier, feeds, devices } = this.edge;
    this.state = State.SIGNING_IN;
    try {
      checkHello(hello);
      const token = await verifier.verify(hello.accessToken);
      const position = await resumePosition(this.edge, token, hello);
      if (this.isClosed) return;
      if (verifier.isRevoked(token)) throw new DomainError("TOKEN_REVOKED", "revoked just now");
      this.token = token;
      this.requests = new Requests(this.edge, this, token);
      devices.attach(token, this);
      // Who can't go on from its position is welcomed when the feed has found another.
      const resetReason = feeds.resetReason(token.userId, position);
      if (!resetReason) this.welcome(position.sequence, FrameResetReason.UNSPECIFIED);
      this.following = feeds.follow(token.userId, position, this);
    } catch (error) {
      this.refuse(error);
    }
  }

  private refuse(error: unknown): void {
    const code = error instanceof DomainError ? helloCloseCodes[error.reason] : undefined;
    if (code === undefined) this.onFailure(error);
    else this.close(code, `${(error as DomainError).reason}: ${(error as DomainError).message}`);
  }

  private welcome(sequence: number, resetReason: FrameResetReason): void {
    const { clock, config, feeds, log } = this.edge;
    const { userId, deviceId } = this.token!;
    this.state = State.OPEN;
    log.debug({ event: "connection_signed_in", ...this.ids() });
    this.send({
      case: "welcome",
      value: {
        userId,
        deviceId,
        connectionId: this.id,
        heartbeatIntervalMs: config.heartbeatIntervalMs,
        inboxEpoch: feeds.epoch(userId),
        inboxSequence: BigInt(sequence),
        resetReason,
        serverTime: timestampFromMs(clock.nowMs()),
      },
    });
  }

  private closeIfRetired(): void {
    if (this.requests?.isUnanswered) return;
    const { code, reason } = this.retirement!;
    this.close(code, reason);
  }

  /** The connection counts for nothing any more. Unless silence ends it, its device was there. */
  private leave(code?: CloseCode): void {
    const { feeds, devices, wheel } = this.edge;
    if (code !== CloseCode.HEARTBEAT_TIMEOUT) this.hear();
    this.state = State.CLOSED;
    wheel.remove(this);
    this.outgoing.discard();
    if (this.following) feeds.stop(this.following);
    this.channels?.stop();
    const isLoggedOut = code === CloseCode.LOGGED_OUT || code === CloseCode.TOKEN_REVOKED;
    const { heardMs } = this;
    if (this.token) devices.detach(this.token, this, { isLoggedOut, heardMs });
  }

  private ids() {
    return {
      connection_id: this.id,
      user_id: this.token?.userId,
      device_id: this.token?.deviceId,
    };
  }
}

const State = {
  /** Nothing has come yet. */
  NEW: 0,
  /** Hello has come, Welcome has not gone. */
  SIGNING_IN: 1,
  OPEN: 2,
  /** Closed by either side; the socket may take a while. */
  CLOSED: 3,
} as const;
type State = (typeof State)[keyof typeof State];
