/** Which items of a channel a user may read: those of the intervals in which it was a member. */
import type { Message } from "../../gen/parley/message/v1/message_pb.js";
import type { ChannelState } from "./channel-state.ts";
import type { MembershipRow } from "./message-store.ts";

/** An interval of channel_sequences, both ends inclusive. */
interface Stay {
  from: number;
  to: number;
}

/** What one user may read of one channel. */
export class Visibility {
  private readonly stays: Stay[];

  private constructor(stays: Stay[]) {
    this.stays = stays;
  }

  /**
   * From the stays in the store, and the messages that the store may lack.
   * @param state the channel as it is now
   * @param tail what the log holds beyond the store, in order
   */
  static of(
    userId: string,
    state: ChannelState,
    stored: readonly MembershipRow[],
    tail: readonly Message[],
  ): Visibility {
    const ends = new Map(stored.map((row) => [row.joinedSequence, row.leftSequence]));
    let open = stored.findLast((row) => row.leftSequence === 0)?.joinedSequence;
    for (const { body, channelSequence } of tail) {
      if (body.case !== "membershipChange" || !body.value.userIds.includes(userId)) continue;
      // A change that names the user begins a stay, or ends the one that is open.
      if (open === undefined) {
        open = ends.has(channelSequence) ? undefined : channelSequence;
        if (open !== undefined) ends.set(open, 0);
      } else if (channelSequence > open) {
        ends.set(open, channelSequence);
        open = undefined;
      }
    }
    const present = state.members.get(userId);
    if (present && state.channel.historyBeforeJoining) {
      return new Visibility([{ from: 0, to: Number.POSITIVE_INFINITY }]);
    }
    if (present) ends.set(present.joinedSequence, 0);
    const stays = [...ends].map(([from, left]) => ({
      from,
      // Who was removed may read that it was.
      to: left === 0 ? Number.POSITIVE_INFINITY : left,
    }));
    return new Visibility(stays);
  }

  /** Whether the user has never been a member. */
  get isNothing(): boolean {
    return this.stays.length === 0;
  }

  /** Whether the user may read the item. */
  includes(channelSequence: number): boolean {
    return this.stays.some(({ from, to }) => from <= channelSequence && channelSequence <= to);
  }
}
