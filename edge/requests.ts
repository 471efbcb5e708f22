import type { Ack, Call, Send } from "../gen/parley/edge/v1/frame_pb.js";
import type { SendMessageResponse } from "../gen/parley/message/v1/message_service_pb.js";
import type { AccessToken } from "../mesh/access-token.ts";
import { fieldInvalid } from "../mesh/errors.ts";
import { toFrameError, tooMany } from "./call-error.ts";
import { performCall } from "./calls.ts";
import { checkChannelId } from "./channel-frames.ts";
import type { EdgeContext } from "./edge-context.ts";
import type { FrameCodec, ServerFrameContent } from "./frame-codec.ts";
import { logOutMethod, publicMethods } from "./public-methods.ts";

/** Who asks: a connection, or one post of frames. */
export interface RequestsOwner {
  readonly isClosed: boolean;
  readonly clientAddress: string;
  /** What carries the requests, for the count of calls. */
  readonly transport: string;
  readonly format: FrameCodec["format"];
  send(content: ServerFrameContent): void;
  pauseReading(): void;
  resumeReading(): void;
  onLoggedOut(): void;
}

/** Channels of one Ack. */
const ackChannelsMax = 100;

/**
 * What a signed-in device asks for, and how much of it at once. With half of what may be
 * unanswered the socket is no longer read, so that a flood waits at the client; what had arrived
 * by then and exceeds the whole is refused.
 */
export class Requests {
  private readonly edge: EdgeContext;
  private readonly owner: RequestsOwner;
  private readonly token: AccessToken;
  private calls = 0;
  private sends = 0;

  constructor(edge: EdgeContext, owner: RequestsOwner, token: AccessToken) {
    this.edge = edge;
    this.owner = owner;
    this.token = token;
  }

  /** Whether an answer is owed. */
  get isUnanswered(): boolean {
    return this.calls + this.sends > 0;
  }

  /** Makes a call and answers it. */
  async call(call: Call): Promise<void> {
    const { config, mesh, metrics } = this.edge;
    const { requestId } = call;
    if (this.calls >= config.callsMax) {
      const error = toFrameError(tooMany("calls", config.callsMax));
      this.answer({
        case: "result",
        value: { requestId, result: { case: "error", value: error } },
      });
      return;
    }
    this.calls++;
    this.throttle();
    const { clientAddress, format, transport } = this.owner;
    const value = await performCall(mesh, call, { identity: this.token, clientAddress, format });
    this.calls--;
    this.throttle();
    const code = value.result.case === "error" ? value.result.value.code : 0;
    const method = publicMethods.has(call.method) ? call.method : "unknown";
    metrics.calls.inc({ method, transport, code });
    this.answer({ case: "result", value });
    if (method === logOutMethod && code === 0) this.owner.onLoggedOut();
  }

  /** Sends a message and answers when it is accepted or refused. */
  send({ requestId, request }: Send): void {
    const { config, sends, clock, metrics } = this.edge;
    if (!request) {
      this.answerSend(requestId, fieldInvalid("send.request", "is missing"));
      return;
    }
    if (this.sends >= config.sendsMax) {
      this.answerSend(requestId, tooMany("sends", config.sendsMax));
      return;
    }
    const arrivedMs = clock.monotonicMs();
    this.sends++;
    this.throttle();
    sends.send(this.token, request, (result) => {
      this.sends--;
      this.throttle();
      metrics.sendSeconds.observe((clock.monotonicMs() - arrivedMs) / 1_000);
      this.answerSend(requestId, result);
    });
  }

  /**
   * Takes note of what the device has stored.
   * @throws DomainError FIELD_INVALID where that can't be.
   */
  ack({ inboxSequence, curMaxMessageId, channels }: Ack, deliveredSequence: number): void {
    if (inboxSequence < 0n || inboxSequence > BigInt(deliveredSequence)) {
      const text = `${inboxSequence} is not in 0..${deliveredSequence}, what was delivered`;
      throw fieldInvalid("ack.inbox_sequence", text);
    }
    if (curMaxMessageId < 0n) {
      throw fieldInvalid("ack.cur_max_message_id", `${curMaxMessageId} is negative`);
    }
    if (channels.length > ackChannelsMax) {
      const text = `${channels.length} channels; the limit is ${ackChannelsMax}`;
      throw fieldInvalid("ack.channels", text);
    }
    for (const { channelId } of channels) checkChannelId("ack.channels", channelId);
    const inboxEpoch = this.edge.feeds.epoch(this.token.userId);
    this.edge.acks.put(this.token, { inboxEpoch, inboxSequence, curMaxMessageId }, channels);
  }

  private answerSend(requestId: number, result: SendMessageResponse | Error): void {
    const outcome =
      result instanceof Error
        ? ({ case: "error", value: toFrameError(result) } as const)
        : ({ case: "response", value: result } as const);
    this.answer({ case: "sendResult", value: { requestId, result: outcome } });
  }

  private answer(content: ServerFrameContent): void {
    if (!this.owner.isClosed) this.owner.send(content);
  }

  private throttle(): void {
    const { callsMax, sendsMax } = this.edge.config;
    const isBusy = this.calls * 2 > callsMax || this.sends * 2 > sendsMax;
    if (isBusy) this.owner.pauseReading();
    else this.owner.resumeReading();
  }
}
