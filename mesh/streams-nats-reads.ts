/**
 * Reads of one JetStream stream. Any replica answers a direct get, so it may be stale, though it
 * shows a subject's entries in order and without holes. Where the leader is asked for, it names
 * the subject's last entry, and what replicas answer is taken only if it reaches that far.
 *
 * What a leader is: after a partition, one that has been replaced but does not know it yet (up to
 * 10 s by the server's election times) may still answer. A writer that such an answer misleads is
 * refused by its expectation; a mere reader may see the subject as it was before the partition.
 */
import type { Msg } from "@nats-io/transport-node";
import { sleep } from "./clock.ts";
import {
  type ReadOptions,
  type StreamEntry,
  StreamUnavailable,
  type SubjectPage,
} from "./streams.ts";
import type { NatsLink } from "./streams-nats-link.ts";
import { headerNames, numberIn, statusOf, textIn } from "./streams-nats-message.ts";

/** What a direct get sends at most before it is asked to go on. */
const chunkBytesMax = 4 << 20;

/** Headers and subjects count as well for the server, but not for the reader. */
const chunkSurplusBytes = 64 << 10;

/** How often replicas are asked again that lack what the leader has; then it is asked alone. */
const staleTriesMax = 4;
const stalePauseMs = 5;

/** How long an append that was refused for one under way waits for it: many commits. */
const settleTriesMax = 50;

/** An entry and when it was stored. */
export interface TimedEntry extends StreamEntry {
  timeMs: number;
}

/** A page, and what is known of how far the replica had got. */
interface SeenPage extends SubjectPage {
  /** The greatest sequence of the subject that was seen, maybe beyond the page. */
  seen: number;
  /** Whether the bounds ended it, so that no newer entry belongs to it. */
  isFull: boolean;
}

/** Reads a stream. Subjects are NATS' own, with this prefix before the port's. */
export class NatsReads {
  private readonly link: NatsLink;
  private readonly stream: string;
  private readonly prefixLength: number;
  /** The only replica is the leader. */
  private readonly isAlone: boolean;

  constructor(link: NatsLink, stream: string, subjectPrefix: string, replicas: number) {
    this.link = link;
    this.stream = stream;
    this.prefixLength = subjectPrefix.length;
    this.isAlone = replicas === 1;
  }

  /** The newest entry of a subject. @throws StreamUnavailable */
  async last(subject: string, fromLeader: boolean): Promise<StreamEntry | undefined> {
    if (fromLeader && !this.isAlone) return this.fromLeader({ last_by_subj: subject });
    const answer = await this.link.request(`$JS.API.DIRECT.GET.${this.stream}.${subject}`, "");
    return statusOf(answer) === 0 ? this.entryOf(answer, subject) : undefined;
  }

  /** Entries of a subject. @throws StreamUnavailable */
  async page(subject: string, bounds: Required<ReadOptions>): Promise<SubjectPage> {
    if (!bounds.fromLeader || this.isAlone) {
      const { entries, more } = await this.pageOfReplica(subject, bounds);
      return { entries, more };
    }
    for (let tries = 1; tries <= staleTriesMax; tries++) {
      const last = await this.fromLeader({ last_by_subj: subject });
      if (!last || last.sequence < bounds.fromSequence) return { entries: [], more: false };
      const page = await this.pageOfReplica(subject, bounds, last.sequence);
      if (page.isFull || page.seen >= last.sequence)
        return { entries: page.entries, more: page.more };
      await sleep(this.link.clock, stalePauseMs * tries);
    }
    return this.pageOfLeader(subject, bounds);
  }

  /**
   * The sequences of the newest entries, by subject; those without one are missing. May be stale.
   * @param subjects at most 1,024
   * @throws StreamUnavailable
   */
  async lastSequences(subjects: readonly string[]): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    const request = { multi_last: subjects, max_bytes: chunkBytesMax };
    for (let from = {}; ; ) {
      let last = 0;
      const end = await this.direct({ ...request, ...from }, (part) => {
        last = numberIn(part, headerNames.sequence);
        found.set(textIn(part, headerNames.subject), last);
      });
      if (last === 0 || numberIn(end, headerNames.numPending) === 0) return found;
      from = { seq: last + 1, up_to_seq: numberIn(end, headerNames.upToSequence) };
    }
  }

  /** The stream's first entry from a sequence on, whatever its subject, from the leader. */
  firstFrom(sequence: number): Promise<TimedEntry | undefined> {
    return this.fromLeader({ seq: sequence, next_by_subj: ">" });
  }

  /** The stream's first entry that was stored at this time or later, from the leader. */
  firstSince(timeMs: number): Promise<TimedEntry | undefined> {
    return this.fromLeader({ start_time: new Date(timeMs).toISOString(), next_by_subj: ">" });
  }

  /** Resolves when the leader shows another last entry, or after a while. */
  async changed(subject: string, lastSequence: number): Promise<void> {
    for (let tries = 1; tries <= settleTriesMax; tries++) {
      const last = await this.fromLeader({ last_by_subj: subject });
      if ((last?.sequence ?? 0) !== lastSequence) return;
      await sleep(this.link.clock, tries);
    }
  }

  /** @param lastSequence the subject's last entry, as far as is known: a replica may not have it */
  private async pageOfReplica(
    subject: string,
    bounds: Required<ReadOptions>,
    lastSequence = 0,
  ): Promise<SeenPage> {
    const page = new PageBuilder(bounds);
    for (let from = Math.max(1, bounds.fromSequence); ; from = page.seen + 1) {
      let last = 0;
      let isWhole = true;
      const request = {
        seq: from,
        next_by_subj: subject,
        batch: page.entriesLeft,
        max_bytes: Math.min(chunkBytesMax, page.bytesLeft + chunkSurplusBytes),
      };
      const end = await this.direct(request, (part) => {
        isWhole &&= numberIn(part, headerNames.lastSequence) === last;
        last = numberIn(part, headerNames.sequence);
        page.add(this.entryOf(part, subject));
      });
      if (statusOf(end) === notFound) return page.finish(false);
      if (!isWhole || numberIn(end, headerNames.lastSequence) !== last) {
        throw new StreamUnavailable(`${subject}: a part of the answer is missing`);
      }
      const isMore = numberIn(end, headerNames.numPending) > 0;
      if (!isMore || page.isFull) return page.finish(isMore || page.seen < lastSequence);
    }
  }

  /** One request for each entry: slow, for when replicas lag. */
  private async pageOfLeader(subject: string, bounds: Required<ReadOptions>): Promise<SubjectPage> {
    const page = new PageBuilder(bounds);
    for (let from = Math.max(1, bounds.fromSequence); ; from = page.seen + 1) {
      const entry = await this.fromLeader({ seq: from, next_by_subj: subject });
      const isEnd = entry === undefined;
      // What follows a full page is asked for only to know that it is there.
      if (isEnd || page.isFull) {
        const { entries, more } = page.finish(!isEnd);
        return { entries, more };
      }
      page.add(entry);
    }
  }

  private direct(request: object, onPart: (part: Msg) => void): Promise<Msg> {
    const subject = `$JS.API.DIRECT.GET.${this.stream}`;
    return this.link.request(subject, JSON.stringify(request), onPart);
  }

  private async fromLeader(request: object): Promise<TimedEntry | undefined> {
    const subject = `$JS.API.STREAM.MSG.GET.${this.stream}`;
    const answer = await this.link.request(subject, JSON.stringify(request));
    const { message, error } = answer.json<LeaderAnswer>();
    if (message) {
      return {
        sequence: message.seq,
        subject: message.subject.slice(this.prefixLength),
        data: Buffer.from(message.data ?? "", "base64"),
        timeMs: Date.parse(message.time),
      };
    }
    if (error?.err_code === noMessageFound) return undefined;
    throw new StreamUnavailable(`${this.stream}: ${error?.description ?? "no message"}`);
  }

  private entryOf(message: Msg, subject: string): StreamEntry {
    return {
      sequence: numberIn(message, headerNames.sequence),
      subject: subject.slice(this.prefixLength),
      data: message.data,
    };
  }
}

interface LeaderAnswer {
  message?: { subject: string; seq: number; data?: string; time: string };
  error?: { err_code: number; description: string };
}

const notFound = 404;
const noMessageFound = 10037;

/** Takes entries until the bounds say that it is enough. */
class PageBuilder {
  seen = 0;
  isFull = false;
  private readonly bounds: Required<ReadOptions>;
  private readonly entries: StreamEntry[] = [];
  private bytes = 0;
  /** The sequence of the first entry that was left out. */
  private leftOut: number | undefined;

  constructor(bounds: Required<ReadOptions>) {
    this.bounds = bounds;
  }

  get entriesLeft(): number {
    return this.bounds.limit - this.entries.length;
  }

  get bytesLeft(): number {
    return this.bounds.bytesMax - this.bytes;
  }

  /** Takes the next entry, or leaves it out where the page has ended. */
  add(entry: StreamEntry): void {
    this.seen = entry.sequence;
    if (this.isFull || entry.sequence > this.bounds.toSequence) {
      this.isFull = true;
      this.leftOut ??= entry.sequence;
      return;
    }
    this.entries.push(entry);
    this.bytes += entry.data.length;
    this.isFull = this.entriesLeft === 0 || this.bytesLeft < 0;
  }

  /** @param isMore whether the subject has more than was added */
  finish(isMore: boolean): SeenPage {
    const { entries, seen, isFull } = this;
    const next = this.leftOut ?? (isMore ? seen + 1 : Number.POSITIVE_INFINITY);
    return { entries, more: next <= this.bounds.toSequence, seen, isFull };
  }
}
