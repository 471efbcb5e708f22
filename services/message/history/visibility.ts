/** Which items of a channel a user may read: those of the intervals in which it was a member. */
import type { CutLogTail, LogTail } from "../channel/log-tail.ts";
import { stayChanges } from "../channel/stay-changes.ts";
import type { MembershipRow } from "../store/message-store.ts";

/** An interval of channel_sequences, both ends inclusive. */
interface Stay {
  from: number;
  to: number;
}

/** What a reader is in a channel now. */
export interface Reader {
  userId: string;
  /** The item that made the reader a member; undefined: is none now. */
  joinedSequence: number | undefined;
  /** Whether members may read what was sent before they joined. */
  seesAll: boolean;
}

/** What one user may read of one channel. */
export class Visibility {
  private readonly stays: Stay[];

  private constructor(stays: Stay[]) {
    this.stays = stays;
  }

  /**
   * From the stays in the store, which may be ahead of the log's tail or unknown (none), and the
   * tail, which may lack its middle.
   */
  static of(
    { userId, joinedSequence = Number.POSITIVE_INFINITY, seesAll }: Reader,
    stored: readonly MembershipRow[],
    tail: LogTail | CutLogTail,
  ): Visibility {
    const isMember = joinedSequence !== Number.POSITIVE_INFINITY;
    if (isMember && seesAll) return new Visibility([{ from: 0, to: Number.POSITIVE_INFINITY }]);
    const begins = new Set(stored.map((row) => row.joinedSequence));
    const ends = new Set(stored.map((row) => row.leftSequence));
    if (isMember) begins.add(joinedSequence);
    tail.forEach((part, i) => {
      for (const item of part) {
        if (item.case !== "message") continue;
        const { begun, ended } = stayChanges(item.value);
        for (const stay of [...begun, ...ended]) {
          if (stay.userId === userId) begins.add(stay.joinedSequence);
        }
        if (ended.some((stay) => stay.userId === userId)) ends.add(item.value.channelSequence);
      }
      // Unless the present stay had begun, any other ended where nothing is known.
      const last = part.at(-1)?.value.channelSequence ?? 0;
      if (i < tail.length - 1 && joinedSequence > last) ends.add(last);
    });
    // Who was removed may read that it was.
    const stays = [...begins].map((from) => {
      return { from, to: Math.min(...[...ends].filter((end) => end >= from)) };
    });
    return new Visibility(stays);
  }

  /** Whether the user has never been a member. */
  get isNothing(): boolean {
    return this.stays.length === 0;
  }

  /** The last item that the user may read, or may yet. */
  get lastSequence(): number {
    return Math.max(0, ...this.stays.map(({ to }) => to));
  }

  /** The first item of the stay that has not ended; 0: all, or it is over. */
  get presentStart(): number {
    return this.stays.find(({ to }) => to === Number.POSITIVE_INFINITY)?.from ?? 0;
  }

  /** Whether the user may read the item. */
  includes(channelSequence: number): boolean {
    return this.stays.some(({ from, to }) => from <= channelSequence && channelSequence <= to);
  }
}
