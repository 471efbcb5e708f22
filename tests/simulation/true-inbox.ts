import { fromBinary } from "@bufbuild/protobuf";
import { InboxEntrySchema } from "../../gen/parley/log/v1/log_pb.js";
import type { StreamEntry } from "../../mesh/streams.ts";

/** What was ever stored in a user's inbox, trimmed or not. */
export class TrueInbox {
  private readonly userId: string;
  private readonly sequences: number[] = [];
  /** By channel and item: the first entry that tells of it, if it is about the own membership. */
  private readonly announcements = new Map<string, number>();

  constructor(userId: string) {
    this.userId = userId;
  }

  /** Takes an entry as it is stored. */
  add({ sequence, data }: StreamEntry): void {
    this.sequences.push(sequence);
    for (const { item } of fromBinary(InboxEntrySchema, data).items) {
      if (item.case !== "message" || item.value.body.case !== "membershipChange") continue;
      const { channelId, channelSequence, body } = item.value;
      const key = `${channelId} ${channelSequence}`;
      const isOwn = body.value.userIds.includes(this.userId);
      if (isOwn && !this.announcements.has(key)) this.announcements.set(key, sequence);
    }
  }

  /** The entry before another one; 0: none. */
  before(sequence: number): number {
    return this.sequences[this.sequences.lastIndexOf(sequence) - 1] ?? 0;
  }

  /** Whether an entry up to this one tells of an item about the own membership. */
  hasAnnounced(channelId: string, channelSequence: number, by: number): boolean {
    const sequence = this.announcements.get(`${channelId} ${channelSequence}`);
    return sequence !== undefined && sequence <= by;
  }
}
