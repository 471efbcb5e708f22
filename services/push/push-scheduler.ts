/**
 * Decides who is notified, and when. A text falls due some seconds after it was sent, or later for
 * a member who seems online; what the member has received by then on any device, or does not want
 * to hear of, is let go. Whatever can't be asked is asked again: a job ends when somebody has
 * decided about it, or when it expires.
 */
import { Status } from "../../gen/parley/presence/v1/presence_pb.js";
import { type Clock, sleep, type Timer } from "../../mesh/clock.ts";
import type { Logger } from "../../mesh/logger.ts";
import type { Metrics } from "../../mesh/metrics.ts";
import { Outage } from "../../mesh/outage.ts";
import type { PushItem, PushSource } from "../../mesh/push-source.ts";
import type { Running, WorkBatch, WorkOptions } from "../../mesh/streams.ts";
import type { PushConfig } from "./push-config.ts";
import type { PushDelivery } from "./push-delivery.ts";
import type { PushDirectory } from "./push-directory.ts";
import { Hold, type PushJob, PushJobs } from "./push-jobs.ts";

/** Jobs that may wait; at so many reading the log pauses. About 50 MB. */
const jobsMax = 100_000;
/** Jobs that are decided together: as many as Presence is asked about at once. */
const batchMax = 100;
/** Such batches that are decided at once. */
const batchesMax = 8;
/** A batch that is being sent for longer makes room for another: some service is slow. */
const slowMs = 1_000;
/** Batches under way, with those that are slow. */
const underWayMax = 64;
/** How often it is looked what is due. */
const tickMs = 250;
/** After a failure a job waits for this long, doubled with each up to the max, and jittered. */
const retryMsMin = 1_000;
const retryMsMax = 5 * 60_000;

/** What it works with. */
export interface PushSchedulerOptions {
  source: PushSource;
  directory: PushDirectory;
  delivery: PushDelivery;
  config: PushConfig;
  clock: Clock;
  logger: Logger;
  metrics: Metrics;
  /** See WorkOptions. */
  isOurs?: WorkOptions["isOurs"];
  /** 0 to 1, for the jitter. Default: Math.random. */
  random?: () => number;
}

/** Why a job has ended without a notification, as the metric names it. */
type Ending = "received" | "unwanted" | "withdrawn" | "expired";

/** Starts it. Stopping waits for what is under way; what waits is done by whoever goes on. */
export function startPushScheduler(options: PushSchedulerOptions): Running {
  const scheduler = new PushScheduler(options);
  const { source, isOurs } = options;
  const reading = source.work((items, batch) => scheduler.take(items, batch), isOurs);
  return {
    async stop() {
      await Promise.all([reading.stop(), scheduler.stop()]);
    },
  };
}

class PushScheduler {
  private readonly options: PushSchedulerOptions;
  private readonly jobs: PushJobs;
  private readonly outage: Outage;
  private readonly underWay = new Set<Promise<void>>();
  private readonly slow = new Set<PushJob[]>();
  private readonly ended;
  private timer: Timer | undefined;
  private stopped = false;

  constructor(options: PushSchedulerOptions) {
    this.options = options;
    const { clock, logger, metrics, config } = options;
    this.jobs = new PushJobs({ delayMs: config.delayMs, nowMs: () => clock.nowMs() });
    const [began, ended] = ["push_undecided", "push_decided_again"];
    this.outage = new Outage({ logger, clock, level: "error", began, ended });
    this.ended = metrics.counter(
      "parley_push_ended_total",
      "Members of channels who needed no notification, by the reason.",
      ["reason"],
    );
    metrics.gauge(
      "parley_push_jobs",
      "Members of channels who may have to be notified.",
      () => this.jobs.size,
    );
    this.timer = clock.setTimer(tickMs, this.onTimer);
  }

  /** Takes what the log has. Waits for room, which the end of waiting jobs makes. */
  async take(items: readonly PushItem[], batch: WorkBatch): Promise<void> {
    const { clock, config } = this.options;
    const hold = new Hold(batch);
    try {
      for (const item of items) {
        while (this.jobs.size >= jobsMax) await sleep(clock, tickMs, batch.signal);
        const isOld = item.kind === "text" && item.sendTimeMs + config.expiryMs <= clock.nowMs();
        if (!isOld) this.jobs.add(item, hold);
      }
    } finally {
      hold.release();
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.timer?.cancel();
    await Promise.all(this.underWay);
  }

  private readonly onTimer = (): void => {
    this.timer = this.options.clock.setTimer(tickMs, this.onTimer);
    this.start();
  };

  /** Starts as many batches as may be under way. */
  private start(): void {
    while (!this.stopped && this.hasRoom()) {
      const jobs = this.jobs.takeDue(batchMax);
      if (jobs.length === 0) return;
      const running = this.decide(jobs).finally(() => {
        this.underWay.delete(running);
        this.slow.delete(jobs);
        this.start();
      });
      this.underWay.add(running);
    }
  }

  private hasRoom(): boolean {
    const { size } = this.underWay;
    return size < underWayMax && size - this.slow.size < batchesMax;
  }

  /** Lets each job go on to its next step. Never rejects. */
  private async decide(due: PushJob[]): Promise<void> {
    const open = new Set(due);
    const settle = (job: PushJob, messageId: bigint, ending: Ending) => {
      open.delete(job);
      this.jobs.advance(job, messageId);
      this.ended.inc({ reason: ending });
    };
    try {
      for (const job of due) {
        if (this.jobs.isOurs(job)) continue;
        open.delete(job);
        this.jobs.drop(job);
      }
      await this.giveGrace(open);
      await this.letGoReceived(open, settle);
      const late = this.options.clock.setTimer(slowMs, () => {
        this.slow.add(due);
        this.start();
      });
      await this.notify(open, settle).finally(() => late.cancel());
      this.outage.worked();
    } catch (err) {
      if (!this.stopped) this.outage.failed(err);
    }
    for (const job of open) this.retry(job, 0);
  }

  /** Who seems online, or of whom that can't be told, gets the time to receive it. */
  private async giveGrace(open: Set<PushJob>): Promise<void> {
    const { clock, config } = this.options;
    const asked = [...open].filter((job) => !job.isGraceOver || this.jobs.textOf(job)?.isLive);
    if (asked.length === 0) return;
    const statuses = await this.statuses(asked.map(({ userId }) => userId));
    for (const [i, job] of asked.entries()) {
      const status = statuses[i] ?? Status.UNSPECIFIED;
      const graceEndMs = job.sendTimeMs + config.onlineDelayMs;
      if (job.isGraceOver) {
        // Of a LIVE channel nobody keeps what was delivered: a device that is connected has it.
        if (status !== Status.ONLINE) continue;
        open.delete(job);
        this.jobs.advance(job, job.newestMessageId);
        this.ended.inc({ reason: "received" });
      } else if (status !== Status.OFFLINE && clock.nowMs() < graceEndMs) {
        open.delete(job);
        job.isGraceOver = true;
        this.jobs.later(job, graceEndMs);
      }
    }
  }

  /** UNSPECIFIED of everybody where Presence is away: nobody is forgotten for that. */
  private async statuses(userIds: string[]): Promise<Status[]> {
    try {
      return await this.options.directory.statuses(userIds);
    } catch (err) {
      this.options.logger.warn({ event: "push_without_presence", err });
      return [];
    }
  }

  private async letGoReceived(open: Set<PushJob>, settle: Settle): Promise<void> {
    const { source, clock, config } = this.options;
    const jobs = [...open];
    if (jobs.length === 0) return;
    const received = await source.received(jobs);
    for (const [i, job] of jobs.entries()) {
      const text = this.jobs.textOf(job);
      if (received[i]! >= job.fromMessageId) settle(job, received[i]!, "received");
      else if (!text) settle(job, job.newestMessageId, "withdrawn");
      else if (text.sendTimeMs + config.expiryMs <= clock.nowMs()) {
        settle(job, job.newestMessageId, "expired");
      }
    }
  }

  private async notify(open: Set<PushJob>, settle: Settle): Promise<void> {
    const { directory, delivery } = this.options;
    const asked = [...open].flatMap((job) => {
      const text = this.jobs.textOf(job);
      return text ? { job, text, newestMessageId: job.newestMessageId } : [];
    });
    if (asked.length === 0) return;
    const recipients = await directory.recipients(
      asked.map(({ job: { userId, channelId }, text: { senderId } }) => {
        return { userId, channelId, senderId };
      }),
    );
    const wanted = asked.flatMap((each, i) => {
      const recipient = recipients[i]!;
      if (recipient.targets.length > 0) return { ...each, recipient };
      const { job, text, newestMessageId } = each;
      if (recipient.isSenderBlocked) this.jobs.hide(job, text.senderId);
      if (recipient.isSenderBlocked && this.jobs.textOf(job)) {
        open.delete(job);
        this.jobs.later(job, this.options.clock.nowMs());
      } else settle(job, newestMessageId, "unwanted");
      return [];
    });
    await delivery.deliver(wanted, ({ job, newestMessageId }, retryMs) => {
      open.delete(job);
      if (retryMs !== undefined) this.retry(job, retryMs);
      else this.jobs.advance(job, newestMessageId);
    });
  }

  private retry(job: PushJob, afterMs: number): void {
    const { clock, random = Math.random } = this.options;
    const pauseMs = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(job.failures++, 20));
    const jitteredMs = pauseMs * (0.5 + random() / 2);
    job.isGraceOver = true;
    this.jobs.later(job, clock.nowMs() + Math.max(afterMs, jitteredMs));
  }
}

type Settle = (job: PushJob, messageId: bigint, ending: Ending) => void;
