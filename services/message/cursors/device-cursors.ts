/** How far devices have stored their inboxes. */
import type { DeviceCursor } from "../../../gen/parley/message/v1/message_pb.js";
import { fieldInvalid } from "../../../mesh/errors.ts";
import type { Identity } from "../../../mesh/rpc.ts";
import type { MessageStore } from "../store/message-store.ts";

/** Where a device's cursor stands; all zero where it has none. @throws StoreUnavailable */
export async function getDeviceCursor(store: MessageStore, { userId, deviceId }: Identity) {
  const row = await store.getDeviceCursor(userId, deviceId);
  if (!row) return {};
  const { inboxEpoch, inboxSequence, curMaxMessageId } = row;
  return { inboxEpoch, inboxSequence: BigInt(inboxSequence), curMaxMessageId };
}

/** Moves a device's cursor forward. @throws DomainError FIELD_INVALID, StoreUnavailable */
export async function markDelivered(
  store: MessageStore,
  { userId, deviceId }: Identity,
  cursor: DeviceCursor | undefined,
): Promise<void> {
  if (!cursor || cursor.inboxSequence < 0n || cursor.curMaxMessageId < 0n) {
    throw fieldInvalid("cursor", "is missing or negative");
  }
  if (!/^[a-z0-9]{1,32}$/.test(cursor.inboxEpoch)) {
    throw fieldInvalid("cursor.inbox_epoch", "must be 1 to 32 of a-z and 0-9");
  }
  const { inboxEpoch, curMaxMessageId } = cursor;
  const inboxSequence = Number(cursor.inboxSequence);
  await store.putDeviceCursor({ userId, deviceId, inboxEpoch, inboxSequence, curMaxMessageId });
}
