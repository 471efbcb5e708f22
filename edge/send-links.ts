/**
 * The edge's half of the batched link to Message: one stream to each instance, one write a turn
 * for its devices' sends, and now and then one for what they have acknowledged.
 * A channel's sends go to one instance, in the order in which they came. What a broken stream
 * leaves unanswered is answered UNAVAILABLE: it may have happened, and the device sends it again,
 * which goes to another instance: the registry may not know yet that one is gone, or be away. So
 * it is with an instance that says nothing while sends wait, or can't serve: it may be the only one
 * that is cut off from what it needs.
 */
import { create } from "@bufbuild/protobuf";
import {
  type LinkCursor,
  type LinkDelivered,
  LinkRequestSchema,
  type LinkResponse,
  type LinkSend,
  LinkSendSchema,
  MessageService,
  type SendMessageRequest,
  type SendMessageResponse,
} from "../gen/parley/message/v1/message_service_pb.js";
import type { Error as ErrorMessage } from "../gen/parley/rpc/v1/error_pb.js";
import type { Clock, Timer } from "../mesh/clock.ts";
import { Code, RpcError } from "../mesh/errors.ts";
import type { Logger } from "../mesh/logger.ts";
import { methodPolicy } from "../mesh/methods.ts";
import { rendezvous } from "../mesh/rendezvous.ts";
import type { DuplexStream, Identity, Mesh } from "../mesh/rpc.ts";
import { TurnBatch } from "../mesh/turn-batch.ts";

/** Told the answer to a send, once. */
export type SendDone = (result: SendMessageResponse | RpcError) => void;

/** Sends that wait for one instance to answer; more are answered RESOURCE_EXHAUSTED. */
const unansweredMax = 16_384;
/** See LinkRequest. */
const batchItemsMax = 256;
const batchBytesMax = 512 * 1024;
/** Bytes that wait for one instance to read. */
const queueBytesMax = 32 * 1024 * 1024;
/** How often the oldest sends are looked at for their deadline. */
const sweepMs = 500;
/** How long who meets a broken link waits. */
const retryAfterMs = 300;
/** How long an instance whose link broke, or that can't serve, is passed over, if there are others. */
const passedOverMs = 5_000;
/** One that has accepted a send so lately can serve: what it can't answer hangs on that send alone. */
const servingMs = 2_000;
/** An instance that says nothing for so long while sends wait for it is taken to be cut off. */
const silentMsMax = 3_000;

/** The links of one edge. */
export class SendLinks {
  private readonly mesh: Mesh;
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly links = new Map<string, SendLink>();
  private instanceIds: readonly string[] = [];
  /** Until when an instance is passed over. */
  private readonly passedOver = new Map<string, number>();
  /** Those that are not, or if that is nobody, all. */
  private candidates: readonly string[] = [];
  private sweeper: Timer | undefined;

  constructor(mesh: Mesh, clock: Clock, log: Logger) {
    this.mesh = mesh;
    this.clock = clock;
    this.log = log;
    mesh.watchInstances(MessageService, (instanceIds) => this.follow(instanceIds));
    this.sweep();
  }

  /** Hands a device's send to the instance of its channel. */
  send(identity: Identity, request: SendMessageRequest, done: SendDone): void {
    const link = this.linkFor(request.channelId);
    if (link) link.send(identity.userId, request, this.clock.monotonicMs(), done);
    else done(unavailable("no instance of the message service is known"));
  }

  /** Tells Message what devices have stored; cursors may be lost on the way. */
  markDelivered(cursors: LinkCursor[]): void {
    for (let from = 0; from < cursors.length; from += batchItemsMax) {
      const some = cursors.slice(from, from + batchItemsMax);
      this.linkFor(some[0]!.userId)?.markDelivered(some);
    }
  }

  /** Tells the channels' instances what users have of them; that may be lost on the way, too. */
  markChannels(delivered: LinkDelivered[]): void {
    const byLink = new Map<SendLink, LinkDelivered[]>();
    for (const each of delivered) {
      const link = this.linkFor(each.channel!.channelId);
      if (!link) continue;
      const others = byLink.get(link);
      if (others) others.push(each);
      else byLink.set(link, [each]);
    }
    for (const [link, all] of byLink) {
      for (let from = 0; from < all.length; from += batchItemsMax) {
        link.markChannels(all.slice(from, from + batchItemsMax));
      }
    }
  }

  /** Ends all links; what is unanswered is answered UNAVAILABLE. */
  close(): void {
    this.sweeper?.cancel();
    for (const link of this.links.values()) link.close();
    this.links.clear();
  }

  /** The link to the instance of a key; undefined: there is no instance. */
  private linkFor(key: string): SendLink | undefined {
    const instanceId = rendezvous(key, this.candidates);
    if (instanceId === undefined) return undefined;
    const link = this.links.get(instanceId);
    return link && !link.isClosed ? link : this.open(instanceId);
  }

  private open(instanceId: string): SendLink {
    const stream = this.mesh.openStream(MessageService.method.link, instanceId);
    const link = new SendLink(stream, instanceId, this.clock, this.log, () => {
      if (this.links.get(instanceId) !== link) return;
      this.passedOver.set(instanceId, this.clock.monotonicMs() + passedOverMs);
      this.choose();
    });
    this.links.set(instanceId, link);
    return link;
  }

  private choose(): void {
    const others = this.instanceIds.filter((instanceId) => !this.passedOver.has(instanceId));
    this.candidates = others.length > 0 ? others : this.instanceIds;
  }

  /** A link to an instance that has gone drains: it is sent nothing more. */
  private follow(instanceIds: readonly string[]): void {
    this.instanceIds = instanceIds;
    this.choose();
    for (const [instanceId, link] of this.links) {
      if (instanceIds.includes(instanceId)) continue;
      this.links.delete(instanceId);
      link.end();
    }
  }

  private sweep(): void {
    const nowMs = this.clock.monotonicMs();
    for (const [instanceId, untilMs] of this.passedOver) {
      if (untilMs <= nowMs) this.passedOver.delete(instanceId);
    }
    this.choose();
    const { deadlineMs } = methodPolicy(MessageService.method.sendMessage);
    for (const link of this.links.values()) {
      link.expire(nowMs - deadlineMs);
      link.breakIfSilentSince(nowMs - silentMsMax);
    }
    this.sweeper = this.clock.setTimer(sweepMs, () => this.sweep());
  }
}

interface Unanswered {
  done: SendDone;
  sentMs: number;
}

/** One stream to one instance. */
class SendLink {
  isClosed = false;
  private readonly stream: DuplexStream<LinkResponse, object>;
  private readonly onFailing: () => void;
  private readonly batch: TurnBatch<LinkSend>;
  /** In the order of sending, which is the order of their deadlines. */
  private readonly unanswered = new Map<number, Unanswered>();
  private nextLinkId = 1;
  private heardMs: number;
  private acceptedMs = Number.NEGATIVE_INFINITY;

  /** @param onFailing told that the link has broken, or that its instance can't serve */
  constructor(
    stream: SendLink["stream"],
    instanceId: string,
    clock: Clock,
    log: Logger,
    onFailing: () => void,
  ) {
    this.stream = stream;
    this.onFailing = onFailing;
    this.heardMs = clock.monotonicMs();
    const limits = {
      itemsMax: batchItemsMax,
      bytesMax: batchBytesMax,
      queueItemsMax: unansweredMax,
      queueBytesMax,
    };
    this.batch = new TurnBatch(limits, (sends) =>
      stream.write(create(LinkRequestSchema, { sends })),
    );
    stream.onMessage = ({ results }) => {
      this.heardMs = clock.monotonicMs();
      for (const { linkId, result } of results) {
        if (result.case === "response") this.accepted(linkId, result.value);
        else if (result.case === "error") this.refused(linkId, asRpcError(result.value));
      }
    };
    stream.onDrain = () => this.batch.resume();
    stream.onClose = (err) => {
      if (this.unanswered.size > 0) log.warn({ event: "send_link_lost", instanceId, err });
      this.break();
    };
  }

  send(userId: string, request: SendMessageRequest, nowMs: number, done: SendDone): void {
    const linkId = this.nextLinkId;
    this.nextLinkId = (linkId % 0xffff_ffff) + 1;
    const item = create(LinkSendSchema, { linkId, userId, request });
    const bytes = request.text.length * 3 + 150;
    if (this.unanswered.size >= unansweredMax || !this.batch.add(item, bytes)) {
      done(
        new RpcError(Code.RESOURCE_EXHAUSTED, "OVERLOADED", "too many sends are unanswered", {
          retryAfterMs: 1_000,
        }),
      );
      return;
    }
    this.unanswered.set(linkId, { done, sentMs: nowMs });
  }

  markDelivered(cursors: LinkCursor[]): void {
    this.stream.write(create(LinkRequestSchema, { cursors }));
  }

  markChannels(delivered: LinkDelivered[]): void {
    this.stream.write(create(LinkRequestSchema, { delivered }));
  }

  /** Answers DEADLINE_EXCEEDED to what was sent before `beforeMs`. */
  expire(beforeMs: number): void {
    for (const [linkId, { sentMs }] of this.unanswered) {
      if (sentMs > beforeMs) return;
      const text = "the message service did not answer in time";
      this.answer(linkId, new RpcError(Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", text));
    }
  }

  /** Gives the instance up where sends from before `beforeMs` wait and it has said nothing since. */
  breakIfSilentSince(beforeMs: number): void {
    const [oldest] = this.unanswered.values();
    if (oldest && oldest.sentMs < beforeMs && this.heardMs < beforeMs) this.break();
  }

  /** No send follows; answers may. */
  end(): void {
    this.batch.flush();
    this.stream.end();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.batch.clear();
    this.stream.end();
    const lost = unavailable("the link to the message service broke");
    for (const linkId of [...this.unanswered.keys()]) this.answer(linkId, lost);
  }

  private break(): void {
    // Before those who wait are told: they may send again at once.
    if (!this.isClosed) this.onFailing();
    this.close();
  }

  private accepted(linkId: number, response: SendMessageResponse): void {
    this.acceptedMs = this.heardMs;
    this.answer(linkId, response);
  }

  private refused(linkId: number, error: RpcError): void {
    const isServing = this.heardMs - this.acceptedMs < servingMs;
    if (error.code === Code.UNAVAILABLE && !isServing) this.onFailing();
    this.answer(linkId, error);
  }

  private answer(linkId: number, result: SendMessageResponse | RpcError): void {
    const waiting = this.unanswered.get(linkId);
    if (!waiting) return;
    this.unanswered.delete(linkId);
    waiting.done(result);
  }
}

function unavailable(text: string): RpcError {
  return new RpcError(Code.UNAVAILABLE, "UNAVAILABLE", text, { retryAfterMs });
}

function asRpcError(error: ErrorMessage): RpcError {
  const { code, reason, message, retryAfterMs, fieldViolations } = error;
  const details = { retryAfterMs, fieldViolations };
  return new RpcError(code as Code, reason, message, details);
}
