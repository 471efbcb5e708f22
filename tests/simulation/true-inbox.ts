import { fromBinary } from "@bufbuild/protobuf";
import { InboxEntrySchema } from "../../gen/parley/log/v1/log_pb.js";
import type { StreamEntry } from "../../mesh/streams.ts";

/** What was ever stored in a user's inbox, trimmed or not. */
export class TrueInbox {
  private readonly userId: string;
  private readonly sequences: number[] = [];
  /** By channel: the first entry that tells the user of a change of the own membership. */
  private readonly announcements = new Map<string, number>();

  constructor(userId: string) {
    this.userId = userId;
  }

  /** Takes an entry as it is stored. */
  add({ sequence, data }: StreamEntry): void {
    this.sequences.push(sequence);
    for (const { item } of fromBinary(InboxEntrySchema, data).items) {
      if (item.value?.body.case !== "membershipChange") continue;
      const { channelId, body } = item.value;
      const isOwn = body.value.userIds.includes(this.userId);
      if (isOwn && !this.announcements.has(channelId)) this.announcements.set(channelId, sequence);
    }
  }

  /** The entry before another one; 0: none. */
  before(sequence: number): number {
    return this.sequences[this.sequences.lastIndexOf(sequence) - 1] ?? 0;
  }

  /** The channels that the user has been told of by an entry up to this one. */
  announcedBy(sequence: number): string[] {
    const announced = [...this.announcements].filter(([, by]) => by <= sequence);
    return announced.map(([channelId]) => channelId);
  }
}
