import { ChannelKind } from "../../gen/parley/message/v1/message_pb.js";
import type { MessageService } from "../../gen/parley/message/v1/message_service_pb.js";
import type { Clock } from "../../mesh/clock.ts";
import { concurrently } from "../../mesh/concurrently.ts";
import { RpcError } from "../../mesh/errors.ts";
import { newUuidV7 } from "../../mesh/ids.ts";
import type { Client, Identity } from "../../mesh/rpc.ts";

/** Channels to a page. */
const pageSize = 200;
/** Groups that are left at once. */
const leavesMax = 8;
/** Why there is nothing to leave. */
const isOver: ReadonlySet<string> = new Set(["NOT_A_MEMBER", "CHANNEL_DELETED"]);

/**
 * Leaves all groups that Message lists as an account's, each as LeaveGroup does, so that those that
 * it owns go to others. After a failure it goes on where it stopped.
 * @throws RpcError
 */
export async function leaveGroups(
  messages: Client<typeof MessageService>,
  identity: Identity,
  clock: Clock,
): Promise<void> {
  let pageToken = "";
  do {
    const page = await messages.listChannels({ pageSize, pageToken }, { identity });
    const groups = page.channels.filter(({ kind }) => kind === ChannelKind.GROUP);
    await concurrently(groups, leavesMax, ({ channelId }) => leave(channelId));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");

  async function leave(channelId: string): Promise<void> {
    const clientMessageId = newUuidV7(clock.nowMs());
    try {
      await messages.leaveGroup({ channelId, clientMessageId }, { identity });
    } catch (thrown) {
      // Lists lag behind.
      if (!(thrown instanceof RpcError && isOver.has(thrown.reason))) throw thrown;
    }
  }
}
