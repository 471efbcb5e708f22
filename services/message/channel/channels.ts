/** The writers of this process, one to a channel. */
import { DomainError } from "../../../mesh/errors.ts";
import { checkChannelId } from "../request-fields.ts";
import type { Change, Outcome } from "./channel-change.ts";
import type { LoadedChannel } from "./channel-loader.ts";
import type { ChannelState } from "./channel-state.ts";
import { ChannelWriter, type WriterDependencies } from "./channel-writer.ts";
import { authorise, type Operation } from "./permissions.ts";
import type { RecentSends } from "./recent-sends.ts";

/** Looks at a channel. */
type Look<T> = (state: ChannelState, recent: RecentSends) => T;

/** Channels kept warm; idle ones that were used longest ago go. While more are busy, they stay. */
const channelsMax = 10_000;
/** Writers that are looked at for an idle one. */
const looksMax = 16;
/** Bytes of changes that may wait in the process. */
const pendingBytesMax = 64 * 1024 * 1024;

/** All channels, as far as this process writes them. */
export class Channels {
  private readonly deps: WriterDependencies;
  private readonly writers = new Map<string, ChannelWriter>();
  private pendingBytes = 0;

  constructor(deps: WriterDependencies) {
    this.deps = deps;
  }

  /** Channels that are warm now. */
  get size(): number {
    return this.writers.size;
  }

  /** Hands a change to its channel's writer. */
  submit(channelId: string, change: Change): void {
    if (this.pendingBytes + change.bytes > pendingBytesMax) {
      const text = `${pendingBytesMax} bytes of changes are waiting`;
      change.done(new DomainError("OVERLOADED", text, { retryAfterMs: 1_000 }));
      return;
    }
    this.pendingBytes += change.bytes;
    const { done } = change;
    change.done = (outcome) => {
      this.pendingBytes -= change.bytes;
      done(outcome);
    };
    this.writer(channelId).submit(change);
  }

  /** Hands a change in and waits for its outcome. @throws what refused it */
  change(channelId: string, change: Omit<Change, "done">): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const done = (outcome: Outcome | Error) =>
        outcome instanceof Error ? reject(outcome) : resolve(outcome);
      this.submit(channelId, { ...change, done });
    });
  }

  /** See {@link ChannelWriter.read}. */
  read(channelId: string, userId?: string): Promise<LoadedChannel> {
    return this.writer(channelId).read(userId);
  }

  /**
   * What `look` sees in the channel as of now, for a member of it, who may do what every member
   * may. It must not await anything, see {@link read}.
   * @throws DomainError NOT_A_MEMBER, FIELD_INVALID, UNAVAILABLE, OVERLOADED
   */
  async readAsMember<T>(
    channelId: string,
    userId: string,
    look: Look<T>,
    operation: Operation = "READ_CHANNEL",
  ): Promise<T> {
    checkChannelId(channelId);
    const { state, recent } = await this.read(channelId, userId);
    return look(authorise(operation, state, channelId, userId), recent);
  }

  /** The same, in the channel as it is at hand: where another instance writes it, not as of now. */
  async lookAsMember<T>(
    channelId: string,
    userId: string,
    look: Look<T>,
    operation: Operation,
  ): Promise<T> {
    const loaded = this.writers.get(channelId)?.atHand;
    if (!loaded?.state?.members.has(userId)) {
      return this.readAsMember(channelId, userId, look, operation);
    }
    return look(authorise(operation, loaded.state, channelId, userId), loaded.recent);
  }

  /** The channel as far as it is at hand, which may be ahead of what is stored or behind. */
  warm(channelId: string): ChannelState | undefined {
    return this.writers.get(channelId)?.atHand?.state;
  }

  private writer(channelId: string): ChannelWriter {
    let writer = this.writers.get(channelId);
    if (writer) {
      this.writers.delete(channelId);
    } else {
      // One that knows nothing is not kept: perhaps there is no such channel.
      writer = new ChannelWriter(channelId, this.deps, (idle) => {
        if (!idle.atHand) this.writers.delete(channelId);
        else if (this.writers.size > channelsMax) this.forgetIdle();
      });
      if (this.writers.size >= channelsMax) this.forgetIdle();
    }
    this.writers.set(channelId, writer);
    return writer;
  }

  /** Forgets one, unless all that it looks at are busy: those are in use, and so come last. */
  private forgetIdle(): void {
    let looks = 0;
    for (const [channelId, writer] of this.writers) {
      this.writers.delete(channelId);
      if (writer.isIdle) return;
      this.writers.set(channelId, writer);
      if (++looks === looksMax) return;
    }
  }
}
