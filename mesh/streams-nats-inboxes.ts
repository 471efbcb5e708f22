import type { Msg, Subscription } from "@nats-io/transport-node";
import { hash32 } from "./rendezvous.ts";
import type { LiveMessage, Running } from "./streams.ts";
import { LiveBus } from "./streams-bus.ts";
import type { NatsLink } from "./streams-nats-link.ts";
import { headerNames, numberIn } from "./streams-nats-message.ts";

/**
 * Who hears of which inbox in this process: one subscription of the server for each inbox that
 * anybody listens to. What comes during an outage is lost; subscribers notice by the sequences.
 *
 * A subscription for a shard instead of a user would bring each process all inboxes' entries.
 */
export class NatsInboxes {
  private readonly link: NatsLink;
  /** "t1-live.inbox." */
  private readonly prefix: string;
  private readonly shards: number;
  private readonly bus = new LiveBus();
  private readonly subscriptions = new Map<string, Subscription>();
  private readonly subscriptionOptions = {
    // The same for all: it tells them apart by the subject.
    callback: (error: Error | null, message: Msg): void => {
      if (!error) this.deliver(message);
    },
  };
  private flushing: Promise<void> | undefined;

  constructor(link: NatsLink, prefix: string, shards: number) {
    this.link = link;
    this.prefix = prefix;
    this.shards = shards;
  }

  /** Resolves when the server knows of it. @throws StreamUnavailable */
  async subscribe(userId: string, onMessage: (message: LiveMessage) => void): Promise<Running> {
    this.link.checkUp();
    const subscription = new InboxSubscription(this, userId, this.bus.subscribe(userId, onMessage));
    if (!this.subscriptions.has(userId)) {
      const subject = this.subjectOf(userId);
      const made = this.link.connection.subscribe(subject, this.subscriptionOptions);
      this.subscriptions.set(userId, made);
    }
    try {
      await this.flushed();
    } catch (thrown) {
      await subscription.stop();
      throw thrown;
    }
    return subscription;
  }

  /** Tells whoever listens something that is not stored; nobody, while NATS is away. */
  publish(userId: string, data: Uint8Array): void {
    if (this.link.isUp) this.link.connection.publish(this.subjectOf(userId), data.slice());
  }

  /** Somebody has ended to listen. */
  left(userId: string): void {
    if (this.bus.hears(userId)) return;
    this.subscriptions.get(userId)?.unsubscribe();
    this.subscriptions.delete(userId);
  }

  /** Ends everything. */
  close(): void {
    this.bus.clear();
    for (const subscription of this.subscriptions.values()) subscription.unsubscribe();
    this.subscriptions.clear();
  }

  private deliver(message: Msg): void {
    const { subject } = message;
    this.bus.deliver({
      subject: subject.slice(subject.lastIndexOf(".") + 1),
      data: message.data,
      sequence: numberIn(message, headerNames.sequence),
      prevSequence: numberIn(message, headerNames.lastSequence),
    });
  }

  /** One round trip for all that subscribe in one turn of the event loop. */
  private flushed(): Promise<void> {
    this.flushing ??= Promise.resolve().then(() => {
      this.flushing = undefined;
      return this.link.flush();
    });
    return this.flushing;
  }

  private subjectOf(userId: string): string {
    return `${this.prefix}${hash32(userId) % this.shards}.${userId}`;
  }
}

class InboxSubscription implements Running {
  private readonly inboxes: NatsInboxes;
  private readonly userId: string;
  private readonly inProcess: Running;

  constructor(inboxes: NatsInboxes, userId: string, inProcess: Running) {
    this.inboxes = inboxes;
    this.userId = userId;
    this.inProcess = inProcess;
  }

  async stop(): Promise<void> {
    await this.inProcess.stop();
    this.inboxes.left(this.userId);
  }
}
