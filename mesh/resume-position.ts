/** Where a device's inbox goes on: from what it says that it has, or from what it acknowledged. */
import { fieldInvalid } from "./errors.ts";
import type { InboxFeeds } from "./inbox-feed.ts";
import type { FeedPosition } from "./subject-feed-following.ts";

/** What a device says that it has stored, or has acknowledged. */
export interface DevicePosition {
  inboxEpoch: string;
  inboxSequence: bigint;
  curMaxMessageId: bigint;
}

/** Refuses numbers that can't be. `path` begins the fields' names. @throws DomainError FIELD_INVALID */
export function checkPosition(path: string, position: DevicePosition): void {
  const { inboxSequence, curMaxMessageId } = position;
  if (inboxSequence < 0n || inboxSequence > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw fieldInvalid(`${path}inbox_sequence`, `${inboxSequence} is not in 0..2^53-1`);
  }
  if (curMaxMessageId < 0n) {
    throw fieldInvalid(`${path}cur_max_message_id`, `${curMaxMessageId} is negative`);
  }
}

/**
 * Where to follow from. A device that has lost its position but not its messages goes on from
 * what it acknowledged last, if its messages reach that far. Where that can't be read, which
 * `onUnreadable` is told, it is left without a position: it rebuilds, which is slower and never
 * wrong.
 */
export async function resumePosition(
  feeds: InboxFeeds,
  userId: string,
  device: DevicePosition,
  acknowledged: {
    read(): Promise<DevicePosition | undefined>;
    onUnreadable(error: unknown): void;
  },
): Promise<FeedPosition> {
  const position = toFeedPosition(device);
  const isLost = feeds.resetReason(userId, position) === "NEW_DEVICE";
  if (!isLost || device.curMaxMessageId === 0n) return position;
  try {
    const cursor = await acknowledged.read();
    if (cursor && cursor.curMaxMessageId <= device.curMaxMessageId) return toFeedPosition(cursor);
  } catch (error) {
    acknowledged.onUnreadable(error);
  }
  return position;
}

function toFeedPosition({ inboxEpoch, inboxSequence }: DevicePosition): FeedPosition {
  return { epoch: inboxEpoch, sequence: Number(inboxSequence) };
}
