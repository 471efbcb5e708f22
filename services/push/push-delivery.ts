/** Brings notifications to the devices of those who are to be notified. */
import type { Clock } from "../../mesh/clock.ts";
import { concurrently } from "../../mesh/concurrently.ts";
import type { Logger } from "../../mesh/logger.ts";
import type { Metrics } from "../../mesh/metrics.ts";
import type { PushSource } from "../../mesh/push-source.ts";
import type { PushConfig } from "./push-config.ts";
import type { PushDirectory, PushRecipient } from "./push-directory.ts";
import type { PushJob, ShownText } from "./push-jobs.ts";
import type { PushNotification, PushOutcome, PushProvider, PushTarget } from "./push-provider.ts";

/** Jobs of a batch under way: as many as it has, so that none waits for somebody's slow service. */
const jobsMax = 100;
/** Users of a batch whose unread texts are counted at once. */
const countsMax = 8;
/** Where nobody knows what the sender is called. */
const nameless = "Parley";

/** A job whose time has come. */
export interface WantedPush {
  job: PushJob;
  recipient: PushRecipient;
  text: ShownText;
  /** When the text was chosen the job's last one: what has come since is another notification's. */
  newestMessageId: bigint;
}

/** What it works with. */
export interface PushDeliveryOptions {
  source: PushSource;
  directory: PushDirectory;
  provider: PushProvider;
  config: PushConfig;
  clock: Clock;
  logger: Logger;
  metrics: Metrics;
}

/** Delivers notifications. */
export class PushDelivery {
  private readonly options: PushDeliveryOptions;
  private readonly outcomes;

  constructor(options: PushDeliveryOptions) {
    this.options = options;
    const help = "Attempts to notify a device, by their outcome.";
    this.outcomes = options.metrics.counter("parley_push_attempts_total", help, ["outcome"]);
  }

  /**
   * Notifies all devices of each job that have not been yet, and calls back for the job when that
   * is done; `retryMs`: some were not reached, at the earliest then again.
   * @throws where it can't find out what to say; nobody has been notified then
   */
  async deliver(
    wanted: readonly WantedPush[],
    onDone: (done: { job: PushJob; newestMessageId: bigint }, retryMs?: number) => void,
  ): Promise<void> {
    if (wanted.length === 0) return;
    const names = await this.namesOf(wanted);
    const badges = await concurrently(wanted, countsMax, ({ job }) =>
      this.options.source.unreadCount(job.userId),
    );
    await concurrently(wanted, jobsMax, async (each, i) => {
      const notification = this.notificationOf(each, names, badges[i]!);
      const { job, recipient, newestMessageId } = each;
      let retryMs: number | undefined;
      const notify = async (target: PushTarget) => {
        if ((job.notified.get(target.deviceId) ?? 0n) >= newestMessageId) return;
        const outcome = await this.send({ ...notification, target });
        if (outcome.outcome === "retry") retryMs = Math.max(retryMs ?? 0, outcome.afterMs ?? 0);
        else job.notified.set(target.deviceId, newestMessageId);
      };
      await Promise.all(recipient.targets.map(notify));
      onDone({ job, newestMessageId }, retryMs);
    });
  }

  private async namesOf(wanted: readonly WantedPush[]): Promise<ReadonlyMap<string, string>> {
    const senderIds = new Set(wanted.map(({ text }) => text.senderId));
    return this.options.directory.names([...senderIds]);
  }

  private notificationOf(
    { recipient, text }: WantedPush,
    names: ReadonlyMap<string, string>,
    unread: number,
  ): Omit<PushNotification, "target"> {
    const { channelId, messageId, channelName, senderId, sendTimeMs } = text;
    const sender = names.get(senderId) ?? nameless;
    return {
      channelId,
      messageId,
      collapseId: channelId,
      title: channelName ? `${sender} · ${channelName}` : sender,
      ...(recipient.previews && text.text !== undefined && { body: text.text }),
      // The text itself is unread, whether or not the store counts it yet.
      badge: Math.max(1, unread),
      expireTimeMs: sendTimeMs + this.options.config.expiryMs,
    };
  }

  private async send(notification: PushNotification): Promise<PushOutcome> {
    const { provider, logger } = this.options;
    const { channelId, target } = notification;
    const outcome = await provider.send(notification);
    this.outcomes.inc({ outcome: outcome.outcome });
    const { userId, deviceId } = target;
    const kind = target.token.service.case;
    if (outcome.outcome === "gone") await this.forget(target, outcome.sinceMs);
    if (outcome.outcome === "refused") {
      const { reason } = outcome;
      logger.warn({ event: "push_refused", userId, deviceId, channelId, kind, reason });
    }
    return outcome;
  }

  /** Where Session is away the next notification finds the target gone once more. */
  private async forget(target: PushTarget, sinceMs: number | undefined): Promise<void> {
    const { directory, logger } = this.options;
    const { userId, deviceId } = target;
    const kind = target.token.service.case;
    try {
      await directory.forget(target, sinceMs);
      logger.info({ event: "push_target_gone", userId, deviceId, kind });
    } catch (err) {
      logger.warn({ event: "push_target_not_forgotten", userId, deviceId, kind, err });
    }
  }
}
