/** The methods that change existing messages, and that list what was changed. */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type {
  ListRevisedMessagesRequest,
  MessageService,
} from "../../../gen/parley/message/v1/message_service_pb.js";
import type { Handlers } from "../../../mesh/rpc.ts";
import type { Outcome } from "../channel/channel-change.ts";
import { notFound } from "../channel/revision-targets.ts";
import type { ChannelCalls } from "../groups/channel-calls.ts";
import { type HistoryDependencies, openHistory } from "../history/history-source.ts";
import { readRevised } from "../history/revised-messages.ts";
import { orUnavailable } from "../message-codes.ts";
import { readSequenceToken, writeSequenceToken } from "../page-tokens.ts";
import {
  checkChannelId,
  checkEmoji,
  checkMessageId,
  checkText,
  pageSize,
  requireIdentity,
} from "../request-fields.ts";
import { addReaction, deleteMessage, editMessage, removeReaction } from "./revision-changes.ts";

type RevisionMethod =
  | "editMessage"
  | "deleteMessage"
  | "addReaction"
  | "removeReaction"
  | "listReactions"
  | "listRevisedMessages";

/** Serves them. */
export function revisionMethods(
  calls: ChannelCalls,
  history: HistoryDependencies,
): Pick<Handlers<typeof MessageService>, RevisionMethod> {
  return {
    async editMessage({ channelId, clientMessageId, messageId, text }, context) {
      checkText(text);
      checkMessageId("message_id", messageId);
      const decide = editMessage(channelId, requireIdentity(context).userId, messageId, text);
      const wanted = { channelId, clientMessageId, decide, targetId: messageId, text };
      return placeOf(await calls.change(wanted, context));
    },

    async deleteMessage({ channelId, clientMessageId, messageId }, context) {
      checkMessageId("message_id", messageId);
      const decide = deleteMessage(channelId, requireIdentity(context).userId, messageId);
      const wanted = { channelId, clientMessageId, decide, targetId: messageId };
      return placeOf(await calls.change(wanted, context));
    },

    async addReaction({ channelId, clientMessageId, messageId, emoji }, context) {
      checkMessageId("message_id", messageId);
      checkEmoji(emoji);
      const decide = addReaction(channelId, requireIdentity(context).userId, messageId, emoji);
      const wanted = { channelId, clientMessageId, decide, targetId: messageId };
      return placeOf(await calls.change(wanted, context));
    },

    async removeReaction({ channelId, clientMessageId, messageId, emoji }, context) {
      checkMessageId("message_id", messageId);
      checkEmoji(emoji);
      const decide = removeReaction(channelId, requireIdentity(context).userId, messageId, emoji);
      const wanted = { channelId, clientMessageId, decide, targetId: messageId };
      return placeOf(await calls.change(wanted, context));
    },

    async listReactions({ channelId, messageId, emoji, ...page }, context) {
      checkChannelId(channelId);
      checkMessageId("message_id", messageId);
      if (emoji !== "") checkEmoji(emoji);
      const size = pageSize(page.pageSize, 50, 200);
      const after = page.pageToken === "" ? 0 : readSequenceToken(page.pageToken);
      const { userId } = requireIdentity(context);
      return orUnavailable(
        (async () => {
          const source = await openHistory(channelId, userId, history);
          const all = await source.reactions(messageId);
          const degraded = source.missing().length > 0;
          if (!all && !degraded) throw notFound(messageId);
          const wanted = (all ?? []).filter((each) => {
            return each.sequence > after && (emoji === "" || each.emoji === emoji);
          });
          const shown = wanted.slice(0, size);
          const hasMore = wanted.length > size;
          return {
            reactions: shown.map(({ sequence: channelSequence, ...each }) => {
              return { userId: each.userId, emoji: each.emoji, channelSequence };
            }),
            nextPageToken: hasMore ? writeSequenceToken(shown.at(-1)!.sequence) : "",
            degraded,
          };
        })(),
      );
    },

    async listRevisedMessages(request, context) {
      const { userId } = requireIdentity(context);
      return orUnavailable(listRevised(request, userId, history));
    },
  };
}

async function listRevised(
  request: ListRevisedMessagesRequest,
  userId: string,
  history: HistoryDependencies,
) {
  const { channelId, afterChannelSequence, pageToken } = request;
  checkChannelId(channelId);
  const size = pageSize(request.pageSize, 50, 200);
  const after = pageToken === "" ? afterChannelSequence : readSequenceToken(pageToken);
  const source = await openHistory(channelId, userId, history);
  const { messages, through, isEnd, isWhole } = await readRevised(source, after, size);
  return {
    messages,
    nextPageToken: isEnd ? "" : writeSequenceToken(through),
    throughChannelSequence: through,
    degraded: !isWhole,
  };
}

function placeOf({ placement }: Outcome) {
  if (!placement) return {};
  const { channelSequence, sendTimeMs } = placement;
  return { channelSequence, reviseTime: timestampFromMs(sendTimeMs) };
}
