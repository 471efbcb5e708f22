/**
 * Who may have to be notified, and when. There is one job for a member of a channel, however many
 * texts it is about: only the newest is shown. A job holds the checkpoint before each batch of the
 * log that its texts came in, until it is known of them that nobody need be notified any more.
 */
import { type Due, DueQueue } from "../../mesh/due-queue.ts";
import type { PushDeparture, PushItem, PushMember, PushText } from "../../mesh/push-source.ts";
import type { WorkBatch } from "../../mesh/streams.ts";

/** Of a channel so many of the newest texts are kept to be shown: all but these count, unseen. */
const textsMax = 32;
/** Code points of a text that are shown. */
const shownMax = 200;

/** A text that may be shown. */
export interface ShownText extends Omit<PushText, "kind" | "userIds" | "text"> {
  /** At most 200 code points; undefined: it was deleted. */
  text: string | undefined;
  /** Of a LIVE channel, whom it mentions; undefined: it concerns everybody. */
  mentionedUserIds: readonly string[] | undefined;
}

/** What a member of a channel may have to be notified of. */
export interface PushJob extends PushMember, Due {
  /** The first text that the member is not known to have. */
  fromMessageId: bigint;
  /** The last one. */
  newestMessageId: bigint;
  /** When the first was sent. */
  sendTimeMs: number;
  /** Whether the member seemed online when it fell due, and was given time to receive it. */
  isGraceOver: boolean;
  /** Of whom the member wants to hear nothing. */
  hiddenSenderIds: ReadonlySet<string>;
  /** How often it has failed since it fell due. */
  failures: number;
  /** Of devices that were notified and others that were not, up to which text. */
  readonly notified: Map<string, bigint>;
  /** Batches of the log, with the last text of the job in each. */
  readonly holds: { hold: Hold; messageId: bigint }[];
}

/** What the jobs need of the time. */
export interface PushJobsOptions {
  /** See PushConfig. */
  delayMs: number;
  /** When a job falls due that is added now. */
  nowMs(): number;
}

const nobody: ReadonlySet<string> = new Set();

/** All jobs of a process. */
export class PushJobs {
  private readonly options: PushJobsOptions;
  private readonly channels = new Map<string, PendingChannel>();
  private readonly due = new DueQueue<PushJob>();
  private count = 0;

  constructor(options: PushJobsOptions) {
    this.options = options;
  }

  /** How many there are. */
  get size(): number {
    return this.count;
  }

  /** Takes what has happened in a channel. */
  add(item: PushItem, hold: Hold): void {
    if (item.kind === "text") this.addText(item, hold);
    else if (item.kind === "departure") this.depart(item);
    else {
      const { channelId, messageId, text } = item;
      const shown = this.channels
        .get(channelId)
        ?.texts.find((each) => each.messageId === messageId);
      if (shown) shown.text = text === undefined ? undefined : cut(text);
    }
  }

  /** Takes out at most `max` jobs that are due; each is put back by `later` or `advance`. */
  takeDue(max: number): PushJob[] {
    const nowMs = this.options.nowMs();
    const taken: PushJob[] = [];
    while (taken.length < max && this.due.first && this.due.first.dueMs <= nowMs) {
      taken.push(this.due.first);
      this.due.remove(this.due.first);
    }
    return taken;
  }

  /** Whether nobody else has the job by now: its shard may have gone to another process. */
  isOurs(job: PushJob): boolean {
    return this.find(job) === job && !job.holds.at(-1)!.hold.signal.aborted;
  }

  /** Puts a job back, to fall due then. */
  later(job: PushJob, dueMs: number): void {
    if (this.find(job) === job) this.putOff(job, dueMs);
  }

  /** A job shows no texts of this sender's from now on. */
  hide(job: PushJob, senderId: string): void {
    job.hiddenSenderIds = new Set([...job.hiddenSenderIds, senderId]);
  }

  /** The newest text that a job may show; undefined: there is none any more. */
  textOf(job: PushJob): ShownText | undefined {
    return this.channels.get(job.channelId)?.texts.findLast((text) => concerns(text, job));
  }

  /** Nothing is to be done about a job's texts up to this one; of later ones it is put back. */
  advance(job: PushJob, messageId: bigint): void {
    while (job.holds.length > 0 && job.holds[0]!.messageId <= messageId) {
      job.holds.shift()!.hold.release();
    }
    if (this.find(job) !== job) return;
    if (job.holds.length === 0) {
      this.remove(job);
      return;
    }
    job.fromMessageId = messageId + 1n;
    const next = this.channels.get(job.channelId)?.texts.find((text) => concerns(text, job));
    job.sendTimeMs = next?.sendTimeMs ?? this.options.nowMs();
    job.isGraceOver = false;
    job.failures = 0;
    this.putOff(job, job.sendTimeMs + this.options.delayMs);
  }

  /** Forgets a job, as if nothing were to be done about any of its texts. */
  drop(job: PushJob): void {
    for (const { hold } of job.holds.splice(0)) hold.release();
    if (this.find(job) === job) this.remove(job);
  }

  private addText(item: PushText, hold: Hold): void {
    const { userIds } = item;
    const channel: PendingChannel = this.channels.get(item.channelId) ?? {
      texts: [],
      jobs: new Map(),
    };
    // Who writes has the channel before the eyes.
    const own = channel.jobs.get(item.senderId);
    if (own) this.drop(own);
    this.channels.set(item.channelId, channel);
    // What comes again is known.
    if (!channel.texts.some(({ messageId }) => messageId === item.messageId)) {
      channel.texts.push(shownOf(item));
      if (channel.texts.length > textsMax) channel.texts.shift();
    }
    for (const userId of userIds) this.addJob(channel, userId, item, hold);
    if (channel.jobs.size === 0) this.channels.delete(item.channelId);
  }

  private addJob(channel: PendingChannel, userId: string, text: PushText, hold: Hold): void {
    const { channelId, messageId, sendTimeMs } = text;
    const known = channel.jobs.get(userId);
    if (known && !this.isOurs(known)) this.drop(known);
    let job = channel.jobs.get(userId);
    if (!job) {
      job = {
        ...{ userId, channelId, sendTimeMs, isGraceOver: false, failures: 0 },
        hiddenSenderIds: nobody,
        ...{ fromMessageId: messageId, newestMessageId: messageId },
        ...{ notified: new Map(), holds: [], dueMs: 0, dueIndex: -1 },
      };
      this.channels.set(channelId, channel);
      channel.jobs.set(userId, job);
      this.count++;
      this.due.add(job, sendTimeMs + this.options.delayMs);
    }
    if (messageId > job.newestMessageId) job.newestMessageId = messageId;
    const last = job.holds.at(-1);
    if (last?.hold === hold) {
      last.messageId = job.newestMessageId;
    } else {
      hold.add();
      job.holds.push({ hold, messageId: job.newestMessageId });
    }
  }

  private depart({ channelId, userIds }: PushDeparture): void {
    const jobs = this.channels.get(channelId)?.jobs;
    for (const userId of userIds === "everybody" ? [...(jobs?.keys() ?? [])] : userIds) {
      const job = jobs?.get(userId);
      if (job) this.drop(job);
    }
  }

  private putOff(job: PushJob, dueMs: number): void {
    this.due.remove(job);
    this.due.add(job, dueMs);
  }

  private find({ channelId, userId }: PushMember): PushJob | undefined {
    return this.channels.get(channelId)?.jobs.get(userId);
  }

  private remove(job: PushJob): void {
    const channel = this.channels.get(job.channelId)!;
    channel.jobs.delete(job.userId);
    if (channel.jobs.size === 0) this.channels.delete(job.channelId);
    this.due.remove(job);
    this.count--;
  }
}

/** What keeps the checkpoint before a batch: the jobs that came of it. */
export class Hold {
  readonly signal: AbortSignal;
  /** The reading itself is the first. */
  private jobs = 1;
  private readonly released = Promise.withResolvers<void>();

  constructor(batch: WorkBatch) {
    this.signal = batch.signal;
    batch.hold(this.released.promise);
  }

  add(): void {
    this.jobs++;
  }

  release(): void {
    if (--this.jobs === 0) this.released.resolve();
  }
}

interface PendingChannel {
  /** The newest, in their order. */
  texts: ShownText[];
  /** By user. */
  jobs: Map<string, PushJob>;
}

function concerns(shown: ShownText, { userId, fromMessageId, hiddenSenderIds }: PushJob): boolean {
  const { messageId, senderId, text, mentionedUserIds } = shown;
  if (text === undefined || messageId < fromMessageId || senderId === userId) return false;
  if (hiddenSenderIds.has(senderId)) return false;
  return mentionedUserIds?.includes(userId) ?? true;
}

function shownOf(item: PushText): ShownText {
  const { channelId, channelName, isLive, messageId, senderId, sendTimeMs, userIds } = item;
  return {
    ...{ channelId, channelName, isLive, messageId, senderId, sendTimeMs },
    text: cut(item.text),
    mentionedUserIds: isLive ? userIds : undefined,
  };
}

function cut(text: string): string {
  // No code point has less than one unit.
  if (text.length <= shownMax) return text;
  // Nor more than two, so that a long text is not walked through.
  const points = [...text.slice(0, 2 * shownMax + 2)];
  return points.length > shownMax ? `${points.slice(0, shownMax - 1).join("")}…` : text;
}
