import { headers, type Msg, type Subscription } from "@nats-io/transport-node";
import { hash32 } from "./rendezvous.ts";
import type { LiveMessage, PublishedEntry, Running } from "./streams.ts";
import { LiveBus } from "./streams-bus.ts";
import type { NatsLink } from "./streams-nats-link.ts";
import { headerNames, numberIn } from "./streams-nats-message.ts";

/**
 * Who hears of which subject of a stream in this process: one subscription of the server for each
 * subject that anybody listens to. What comes during an outage is lost; subscribers notice by the
 * sequences.
 *
 * A subscription for a shard instead of a user would bring each process all inboxes' entries.
 */
export class NatsLive {
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
  async subscribe(subject: string, onMessage: (message: LiveMessage) => void): Promise<Running> {
    this.link.checkUp();
    const subscription = new LiveSubscription(
      this,
      subject,
      this.bus.subscribe(subject, onMessage),
    );
    if (!this.subscriptions.has(subject)) {
      const { connection } = this.link;
      const made = connection.subscribe(this.fullSubject(subject), this.subscriptionOptions);
      this.subscriptions.set(subject, made);
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
  publish(subject: string, data: Uint8Array): void {
    if (this.link.isUp) this.link.connection.publish(this.fullSubject(subject), data.slice());
  }

  /**
   * The same of an entry that is stored; it comes as if the server had republished it.
   * @throws StreamUnavailable while NATS is away
   */
  publishEntry(subject: string, { data, sequence, prevSequence }: PublishedEntry): void {
    this.link.checkUp();
    const sent = headers();
    sent.set("Nats-Sequence", String(sequence));
    sent.set("Nats-Last-Sequence", String(prevSequence));
    const full = this.fullSubject(subject);
    this.link.connection.publish(full, data.slice(), { headers: sent });
  }

  /** Somebody has ended to listen. */
  left(subject: string): void {
    if (this.bus.hears(subject)) return;
    this.subscriptions.get(subject)?.unsubscribe();
    this.subscriptions.delete(subject);
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

  private fullSubject(subject: string): string {
    return `${this.prefix}${hash32(subject) % this.shards}.${subject}`;
  }
}

class LiveSubscription implements Running {
  private readonly live: NatsLive;
  private readonly subject: string;
  private readonly inProcess: Running;

  constructor(live: NatsLive, subject: string, inProcess: Running) {
    this.live = live;
    this.subject = subject;
    this.inProcess = inProcess;
  }

  async stop(): Promise<void> {
    await this.inProcess.stop();
    this.live.left(this.subject);
  }
}
