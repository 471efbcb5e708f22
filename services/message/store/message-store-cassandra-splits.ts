/**
 * In which bucket a message lies: below its wide bucket's split, a sequence, in that; from there on
 * in a narrow one. Whoever first has an item of sequence {@link hotRows} or more for a wide bucket
 * proposes its split. All agree on one, by a lightweight transaction, and it never changes; nobody
 * goes by a split that is only proposed. So the bucket is a function of the message's id and
 * sequence, whoever asks, however often and in whatever order. As ids ascend with sequences, all
 * that is wide comes before all that is narrow.
 */
import type { Message } from "../../../gen/parley/message/v1/message_pb.js";
import type { Cassandra } from "../../../mesh/cassandra.ts";
import { concurrently } from "../../../mesh/concurrently.ts";
import { RecentMap } from "../../../mesh/recent-map.ts";
import { narrowBucketOf, wideBucketOf } from "./message-store-cassandra-buckets.ts";

/**
 * Items that a wide bucket takes after what its split was proposed for: 12 MB at 250 bytes a row,
 * and twice that at most where the channel's first ones, for which nobody asks, lie in it too. So
 * busy a channel has 200 items an hour for a narrow one. Stored within the splits: never change it.
 */
export const hotRows = 50_000;

/** Splits that are remembered: 20 MB. */
const knownMax = 100_000;
/** Splits that are looked up at one time. */
const lookUpsMax = 64;

const selectSplit = "SELECT split_sequence FROM splits WHERE channel_id = ? AND bucket = ?";
const insertSplit = "INSERT INTO splits (channel_id, bucket, split_sequence) VALUES (?, ?, ?)";

/** What decides in which bucket a message lies. */
export type MessagePlace = Pick<Message, "channelId" | "messageId" | "channelSequence">;

/** The splits of all channels' wide buckets. */
export class BucketSplits {
  private readonly connection: Cassandra;
  private readonly rows: number;
  /** Splits that are stored. */
  private readonly known = new RecentMap<string, number>(knownMax);

  constructor(connection: Cassandra, rows = hotRows) {
    this.connection = connection;
    this.rows = rows;
  }

  /** Whether items of that sequence may lie in narrow buckets. */
  mayBeNarrow(channelSequence: number): boolean {
    return channelSequence >= this.rows;
  }

  /** The bucket of each message. */
  async bucketsOf(places: readonly MessagePlace[]): Promise<number[]> {
    // Of each wide bucket that is asked about the least sequence here: what is proposed rests on it.
    const asked = new Map<string, MessagePlace>();
    for (const place of places) {
      if (!this.mayBeNarrow(place.channelSequence)) continue;
      const key = keyOf(place);
      const least = asked.get(key);
      if (!least || place.channelSequence < least.channelSequence) asked.set(key, place);
    }
    const splits = new Map<string, number>();
    await concurrently([...asked], lookUpsMax, async ([key, place]) => {
      splits.set(key, await this.splitOf(key, place));
    });
    return places.map((place) => {
      const split = splits.get(keyOf(place)) ?? this.rows;
      return place.channelSequence < split
        ? wideBucketOf(place.messageId)
        : narrowBucketOf(place.messageId);
    });
  }

  /** The split of a wide bucket: the one proposed where there was none. */
  async agree(channelId: string, bucket: number, proposed: number): Promise<number> {
    const values = [channelId, bucket, BigInt(proposed)];
    const stored = await this.connection.insertOnce({ cql: insertSplit, values });
    return stored ? Number(stored.split_sequence) : proposed;
  }

  private async splitOf(key: string, place: MessagePlace): Promise<number> {
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const { channelId, messageId, channelSequence } = place;
    const bucket = wideBucketOf(messageId);
    const [row] = await this.connection.read({ cql: selectSplit, values: [channelId, bucket] });
    const split = row
      ? Number(row.split_sequence)
      : await this.agree(channelId, bucket, channelSequence + this.rows);
    this.known.set(key, split);
    return split;
  }
}

function keyOf({ channelId, messageId }: MessagePlace): string {
  return `${wideBucketOf(messageId)} ${channelId}`;
}
