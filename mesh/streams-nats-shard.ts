import type { StreamConfig, StreamState } from "@nats-io/jetstream";
import { StreamUnavailable } from "./streams.ts";
import { NatsAppends } from "./streams-nats-appends.ts";
import type { NatsLink } from "./streams-nats-link.ts";
import { NatsReads } from "./streams-nats-reads.ts";

/** The part of its bytes past which a shard is trimmed sooner: see TrimOptions. */
const pressedShare = 0.8;

/** What JetStream says of a stream. */
interface StreamInfo {
  config: Pick<StreamConfig, "max_bytes">;
  state: Pick<StreamState, "bytes" | "messages">;
}

/** What a shard is made of. */
export interface NatsShardOptions {
  link: NatsLink;
  /** Of the JetStream stream: "t1-LOG-0". */
  stream: string;
  /** "t1-log.0." */
  subjectPrefix: string;
  epoch: string;
  replicas: number;
}

/** One JetStream stream. Subjects are the port's, one token each. */
export class NatsShard {
  readonly link: NatsLink;
  readonly stream: string;
  readonly epoch: string;
  readonly subjectPrefix: string;
  readonly appends: NatsAppends;
  readonly reads: NatsReads;

  constructor({ link, stream, subjectPrefix, epoch, replicas }: NatsShardOptions) {
    this.link = link;
    this.stream = stream;
    this.epoch = epoch;
    this.subjectPrefix = subjectPrefix;
    this.reads = new NatsReads(link, stream, subjectPrefix, replicas);
    this.appends = new NatsAppends(link, (subject, last) => this.reads.changed(subject, last));
  }

  /** A call of JetStream's API about this stream. @throws StreamUnavailable */
  async api<Answer>(call: string, request: object, suffix = ""): Promise<Answer> {
    const subject = `$JS.API.${call}.${this.stream}${suffix}`;
    const answer = await this.link.request(subject, JSON.stringify(request));
    const { error, ...rest } = answer.json<{ error?: { description: string } }>();
    if (error) throw new StreamUnavailable(`${subject}: ${error.description}`);
    return rest as Answer;
  }

  /**
   * How many of its oldest entries, by their mean size, it holds beyond {@link pressedShare} of the
   * bytes that it may. Where there is no limit: 0.
   */
  async surplusEntries(): Promise<number> {
    const { config, state } = await this.api<StreamInfo>("STREAM.INFO", {});
    if (config.max_bytes <= 0) return 0;
    const surplusBytes = state.bytes - pressedShare * config.max_bytes;
    return Math.max(0, Math.ceil((surplusBytes * state.messages) / state.bytes));
  }

  /**
   * Removes the oldest entries: of those up to `through`, the ones that were stored before
   * `untilMs` or, if earlier, before the first entry after `through`, less `olderThanMs`.
   * @returns how many, at most `limit`
   */
  async trim(through: number, untilMs: number, olderThanMs: number, limit: number) {
    const newest = await this.reads.last(`${this.subjectPrefix}>`, true);
    const first = newest && (await this.reads.firstFrom(1));
    if (!first) return 0;
    const undone = through < newest.sequence ? await this.reads.firstFrom(through + 1) : undefined;
    const beforeMs = Math.min(untilMs, undone?.timeMs ?? untilMs) - olderThanMs;
    if (first.timeMs >= beforeMs) return 0;
    const kept = await this.reads.firstSince(beforeMs);
    const end = Math.min(
      through + 1,
      newest.sequence + 1,
      kept?.sequence ?? newest.sequence + 1,
      first.sequence + limit,
    );
    if (end <= first.sequence) return 0;
    const { purged } = await this.api<{ purged: number }>("STREAM.PURGE", { seq: end });
    return purged;
  }
}
