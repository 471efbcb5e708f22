import type { Hello } from "../gen/parley/edge/v1/frame_pb.js";
import { MessageService } from "../gen/parley/message/v1/message_service_pb.js";
import { fieldInvalid } from "../mesh/errors.ts";
import type { InboxPosition } from "../mesh/inbox-feed-following.ts";
import type { Identity } from "../mesh/rpc.ts";
import type { EdgeContext } from "./edge-context.ts";

/** Refuses a Hello whose numbers can't be. @throws DomainError FIELD_INVALID */
export function checkHello(hello: Hello): void {
  if (hello.inboxSequence < 0n || hello.inboxSequence > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw fieldInvalid("hello.inbox_sequence", `${hello.inboxSequence} is not in 0..2^53-1`);
  }
  if (hello.curMaxMessageId < 0n) {
    throw fieldInvalid("hello.cur_max_message_id", `${hello.curMaxMessageId} is negative`);
  }
}

/**
 * Where the device's inbox goes on. A device that has lost its position but not its messages goes
 * on from what it acknowledged last, if its messages reach that far. Where Message can't tell, it
 * is left without a position: it rebuilds, which is slower and never wrong.
 */
export async function resumePosition(
  edge: EdgeContext,
  identity: Identity,
  hello: Hello,
): Promise<InboxPosition> {
  const position = { epoch: hello.inboxEpoch, sequence: Number(hello.inboxSequence) };
  const { feeds, mesh, log } = edge;
  const isLost = feeds.resetReason(identity.userId, position) === "NEW_DEVICE";
  if (!isLost || hello.curMaxMessageId === 0n) return position;
  try {
    const { cursor } = await mesh.client(MessageService).getDeviceCursor({}, { identity });
    if (cursor && cursor.curMaxMessageId <= hello.curMaxMessageId) {
      return { epoch: cursor.inboxEpoch, sequence: Number(cursor.inboxSequence) };
    }
  } catch (err) {
    log.warn({ event: "device_cursor_unreadable", device_id: identity.deviceId, err });
  }
  return position;
}
