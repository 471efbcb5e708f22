import type { LiveMessage, Running } from "./streams.ts";

/** The one subject of a bus that tells of accounts: the message is the account's id. */
export const accountsSubject = "changed";

/** Calls `onChange` with each account that a bus tells of. */
export function toAccounts(onChange: (userId: string) => void): (message: LiveMessage) => void {
  return ({ data }) => onChange(Buffer.from(data).toString());
}

/** What a bus tells of an account. */
export function accountMessage(userId: string): LiveMessage {
  return { subject: accountsSubject, data: Buffer.from(userId), sequence: 0, prevSequence: 0 };
}

/**
 * Who listens to which subject, within one process. A process has tens of thousands of
 * subscriptions: each is one small object in a list, without closures of its own.
 */
export class LiveBus {
  private readonly firsts = new Map<string, Subscription>();

  /** Calls `onMessage` with everything that is delivered to the subject from now on. */
  subscribe(subject: string, onMessage: (message: LiveMessage) => void): Running {
    const subscription = new Subscription(this, subject, onMessage, this.firsts.get(subject));
    this.firsts.set(subject, subscription);
    return subscription;
  }

  /** Whether anybody listens to the subject. */
  hears(subject: string): boolean {
    return this.firsts.has(subject);
  }

  /** Calls everybody who listens to the message's subject. */
  deliver(message: LiveMessage): void {
    let next = this.firsts.get(message.subject);
    while (next) {
      const subscription = next;
      next = subscription.next;
      // An earlier callback may have stopped this one.
      if (!subscription.stopped) subscription.onMessage(message);
    }
  }

  /** Ends all subscriptions. */
  clear(): void {
    for (const first of this.firsts.values()) {
      for (let each: Subscription | undefined = first; each; each = each.next) each.stopped = true;
    }
    this.firsts.clear();
  }

  /** Ends one subscription. */
  remove(subscription: Subscription): void {
    if (subscription.stopped) return;
    subscription.stopped = true;
    const first = this.firsts.get(subscription.subject);
    if (first === subscription) {
      if (subscription.next) this.firsts.set(subscription.subject, subscription.next);
      else this.firsts.delete(subscription.subject);
      return;
    }
    let before = first;
    while (before && before.next !== subscription) before = before.next;
    if (before) before.next = subscription.next;
  }
}

class Subscription implements Running {
  readonly bus: LiveBus;
  readonly subject: string;
  readonly onMessage: (message: LiveMessage) => void;
  next: Subscription | undefined;
  stopped = false;

  constructor(
    bus: LiveBus,
    subject: string,
    onMessage: (message: LiveMessage) => void,
    next: Subscription | undefined,
  ) {
    this.bus = bus;
    this.subject = subject;
    this.onMessage = onMessage;
    this.next = next;
  }

  async stop(): Promise<void> {
    this.bus.remove(this);
  }
}
