import { fromBinary } from "@bufbuild/protobuf";
import { type Item, LogEntrySchema } from "../gen/parley/log/v1/log_pb.js";
import { isComingOrGoing, isDeletion, isGoing } from "./channel-items.ts";

/** The end of somebody's membership. */
export interface Leave {
  userId: string;
  /** The `channel_sequence` of the item that ended it. */
  sequence: number;
}

/** How batches are written. */
export interface BatchFormat<T> {
  encodeBatch(batch: ChannelBatch): T;
}

/** Items of a LIVE channel that follow each other, as those who follow the channel are told them. */
export class ChannelBatch {
  readonly channelId: string;
  /** The batch continues from this `channel_sequence` ... */
  readonly prevSequence: number;
  /** ... and has everything up to this one. */
  readonly sequence: number;
  /** How many members the channel has then; 0: as before. */
  readonly memberCount: number;
  /** Without the comings and goings. */
  readonly items: readonly Item[];
  readonly leaves: readonly Leave[];
  /** Whether the channel is deleted with it. */
  readonly isEnd: boolean;
  /** About what it takes in a frame. */
  readonly bytes: number;
  /** The earliest message that a revision in it is about; without one: infinity. */
  private readonly revisedMin: number;
  private readonly encoded = new Map<object, unknown>();

  constructor(fields: Omit<ChannelBatch, "encode" | "part" | "join" | "leaveOf" | "for">) {
    this.channelId = fields.channelId;
    this.prevSequence = fields.prevSequence;
    this.sequence = fields.sequence;
    this.memberCount = fields.memberCount;
    this.items = fields.items;
    this.leaves = fields.leaves;
    this.isEnd = fields.isEnd;
    this.bytes = fields.bytes;
    this.revisedMin = Math.min(...this.items.map(revisedOf));
  }

  /** The batch in a format, encoded once for all who ask. */
  encode<T>(format: BatchFormat<T>): T {
    if (!this.encoded.has(format)) this.encoded.set(format, format.encodeBatch(this));
    return this.encoded.get(format) as T;
  }

  /** What lies after one `channel_sequence` and up to another, both within the batch. */
  part(prevSequence: number, sequence: number): ChannelBatch {
    const isIn = (each: number) => each > prevSequence && each <= sequence;
    return new ChannelBatch({
      ...this,
      prevSequence,
      sequence,
      items: this.items.filter((item) => isIn(sequenceOf(item))),
      leaves: this.leaves.filter((leave) => isIn(leave.sequence)),
      isEnd: this.isEnd && sequence === this.sequence,
    });
  }

  /** This and the batch that follows it. */
  join(next: ChannelBatch): ChannelBatch {
    return new ChannelBatch({
      channelId: this.channelId,
      prevSequence: this.prevSequence,
      sequence: next.sequence,
      memberCount: next.memberCount || this.memberCount,
      items: [...this.items, ...next.items],
      leaves: [...this.leaves, ...next.leaves],
      isEnd: next.isEnd,
      bytes: this.bytes + next.bytes,
    });
  }

  /** Without what revises messages before this `channel_sequence`. */
  for(minSequence: number): ChannelBatch {
    if (this.revisedMin >= minSequence) return this;
    const items = this.items.filter((item) => revisedOf(item) >= minSequence);
    return new ChannelBatch({ ...this, items });
  }

  /** Where the user's membership ends after a `channel_sequence`; undefined: not in this batch. */
  leaveOf(userId: string, after: number): number | undefined {
    return this.leaves.find((leave) => leave.userId === userId && leave.sequence > after)?.sequence;
  }
}

/** Reads an encoded LogEntry. @throws Error where it is none, or holds nothing that is known */
export function readChannelBatch(data: Uint8Array): ChannelBatch {
  const { channelId, items } = fromBinary(LogEntrySchema, data);
  const first = items[0] && sequenceOf(items[0]);
  if (!first) throw new Error(`an entry of ${channelId} without items`);
  const leaves: Leave[] = [];
  let memberCount = 0;
  for (const { item } of items) {
    if (item.case !== "message" || item.value.body.case !== "membershipChange") continue;
    const change = item.value.body.value;
    const sequence = item.value.channelSequence;
    memberCount = change.memberCount;
    if (isGoing(change.kind))
      leaves.push(...change.userIds.map((userId) => ({ userId, sequence })));
  }
  return new ChannelBatch({
    channelId,
    prevSequence: first - 1,
    sequence: first - 1 + items.length,
    memberCount,
    items: items.filter(({ item }) => item.case !== "message" || !isComingOrGoing(item.value)),
    leaves,
    isEnd: items.some(({ item }) => item.case === "message" && isDeletion(item.value)),
    bytes: data.length,
  });
}

/** The message that an item revises; infinity: it is no revision. */
function revisedOf({ item }: Item): number {
  return item.case === "revision" ? item.value.messageChannelSequence : Number.POSITIVE_INFINITY;
}

function sequenceOf({ item }: Item): number {
  return item.value?.channelSequence ?? 0;
}
