/** Push over a log, users and a provider that a test plays, on a manual clock. */
import { Status } from "../../gen/parley/presence/v1/presence_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { silentLogger } from "../../mesh/logger.ts";
import { Metrics } from "../../mesh/metrics.ts";
import type {
  PushItem,
  PushItemHandler,
  PushMember,
  PushSource,
  PushText,
} from "../../mesh/push-source.ts";
import type { Running } from "../../mesh/streams.ts";
import { PushDelivery } from "./push-delivery.ts";
import type { PushDirectory, PushRecipient } from "./push-directory.ts";
import type { PushNotification, PushOutcome, PushProvider, PushTarget } from "./push-provider.ts";
import { startPushScheduler } from "./push-scheduler.ts";
import { apnsTokenOf } from "./push-under-test.ts";

/** One process, and what it talks to. Users are offline and have one device, until a test says else. */
export class PushFixture {
  readonly clock = new ManualClock();
  readonly config = { delayMs: 5_000, onlineDelayMs: 30_000, expiryMs: 24 * 3_600_000 };
  readonly metrics = new Metrics();
  /** By user. */
  readonly statuses = new Map<string, Status>();
  /** By "channel user". */
  readonly received = new Map<string, bigint>();
  readonly recipients = new Map<string, PushRecipient>();
  /** "user sender". */
  readonly blocks = new Set<string>();
  readonly forgotten: { target: PushTarget; sinceMs: number | undefined }[] = [];
  /** What the provider was given, in its order, and how often each was asked for what. */
  readonly notifications: PushNotification[] = [];
  readonly asked = { statuses: 0, received: 0 };
  /** What the provider says next; then "sent". */
  readonly outcomes: PushOutcome[] = [];
  /** What happens while Session is asked. */
  whileAsked: () => Promise<unknown> = async () => {};
  /** What happens while a user's device is notified. */
  whileSent: (target: PushTarget) => Promise<unknown> = async () => {};
  /** What is away. */
  readonly away = { presence: false, session: false, store: false };
  private handler: PushItemHandler | undefined;
  private running: Running | undefined;
  private reading = new AbortController();
  private ids = 0n;

  /** Starts a process; one that was started before reads no more. */
  start(): void {
    const { clock, config, metrics } = this;
    const [source, directory, provider] = [this.source(), this.directory(), this.provider()];
    const parts = { source, directory, provider, config, clock, metrics, logger: silentLogger };
    const delivery = new PushDelivery(parts);
    this.reading = new AbortController();
    this.running = startPushScheduler({ ...parts, delivery, random: () => 1 });
  }

  async stop(): Promise<void> {
    await this.running?.stop();
  }

  /** Another process has the shard from now on. */
  handOver(): void {
    this.reading.abort(new Error("handed over"));
    this.reading = new AbortController();
  }

  /** A text in a channel between two, or in a group. */
  text(channelId: string, senderId: string, text: string, ...userIds: string[]): PushText {
    return {
      ...{ kind: "text", channelId, senderId, text, userIds },
      ...{ channelName: channelId.startsWith("g-") ? "Team" : "", isLive: false },
      ...{ messageId: ++this.ids, sendTimeMs: this.clock.nowMs() },
    };
  }

  /** The log has these, in one batch. @returns whether the checkpoint is past it */
  async give(...items: PushItem[]): Promise<{ isDone: boolean }> {
    const batch = { isDone: false };
    const { signal } = this.reading;
    let until: Promise<void> = Promise.resolve();
    const hold = (promise: Promise<void>) => {
      until = promise;
    };
    await this.handler!(items, { signal, hold });
    void until.then(() => {
      batch.isDone = true;
    });
    return batch;
  }

  /** Lets time pass, in steps, and what is under way go on. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 250) {
      this.clock.advance(Math.min(250, left));
      for (let turns = 0; turns < 5; turns++) await new Promise(setImmediate);
    }
  }

  /** What users were shown: "user: body". */
  shown(): string[] {
    return this.notifications.map(({ target, body }) => `${target.userId}: ${body ?? "-"}`);
  }

  /** Of a counter, by its label. */
  async count(name: string): Promise<Record<string, number>> {
    const { values } = await this.metrics.registry.getSingleMetric(name)!.get();
    return Object.fromEntries(
      values.map(({ labels, value }) => [Object.values(labels).join(), value]),
    );
  }

  private source(): PushSource {
    return {
      work: (handler) => {
        this.handler = handler;
        return { stop: async () => this.reading.abort(new Error("stopped")) };
      },
      received: async (members) => {
        this.asked.received += members.length;
        if (this.away.store) throw new Error("the store is away");
        return members.map((member) => this.received.get(keyOf(member)) ?? 0n);
      },
      unreadCount: async () => 7,
    };
  }

  private directory(): PushDirectory {
    return {
      statuses: async (userIds) => {
        this.asked.statuses += userIds.length;
        if (this.away.presence) throw new Error("Presence is away");
        return userIds.map((userId) => this.statuses.get(userId) ?? Status.OFFLINE);
      },
      recipients: async (members) => {
        if (this.away.session) throw new Error("Session is away");
        await this.whileAsked();
        return members.map((member) => {
          const { userId, senderId } = member;
          if (this.blocks.has(`${userId} ${senderId}`)) {
            return { targets: [], isSenderBlocked: true, previews: true };
          }
          const usual = { targets: [targetOf(userId)], previews: true };
          return this.recipients.get(keyOf(member)) ?? usual;
        });
      },
      names: async (userIds) => new Map(userIds.map((userId) => [userId, userId.toUpperCase()])),
      forget: async (target, sinceMs) => void this.forgotten.push({ target, sinceMs }),
    };
  }

  private provider(): PushProvider {
    return {
      send: async (notification) => {
        this.notifications.push(notification);
        await this.whileSent(notification.target);
        return this.outcomes.shift() ?? { outcome: "sent" };
      },
      close: async () => {},
    };
  }
}

/** A user's device of this name. */
export function targetOf(userId: string, device = "phone"): PushTarget {
  return { userId, deviceId: `${userId}-${device}`, token: apnsTokenOf(1) };
}

function keyOf({ channelId, userId }: PushMember): string {
  return `${channelId} ${userId}`;
}
