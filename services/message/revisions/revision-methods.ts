/** The methods that change existing messages, and that list what was changed. */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type {
  ListReactionsRequest,
  ListRevisedMessagesRequest,
  MessageService,
} from "../../../gen/parley/message/v1/message_service_pb.js";
import type { CallContext, Handlers } from "../../../mesh/rpc.ts";
import type { Decide } from "../channel/changes.ts";
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

/** What the requests have in common. */
interface RevisionRequest {
  channelId: string;
  clientMessageId: string;
  messageId: bigint;
}

/** Serves them. */
export function revisionMethods(
  calls: ChannelCalls,
  history: HistoryDependencies,
): Pick<Handlers<typeof MessageService>, RevisionMethod> {
  async function revise(
    { channelId, clientMessageId, messageId }: RevisionRequest,
    context: CallContext,
    decideFor: (channelId: string, userId: string, messageId: bigint) => Decide,
    text = "",
  ) {
    checkMessageId("message_id", messageId);
    const decide = decideFor(channelId, requireIdentity(context).userId, messageId);
    const wanted = { channelId, clientMessageId, decide, targetId: messageId, text };
    return placeOf(await calls.change(wanted, context));
  }

  return {
    async editMessage(request, context) {
      const { text } = request;
      checkText(text);
      return revise(request, context, (...target) => editMessage(...target, text), text);
    },

    deleteMessage: (request, context) => revise(request, context, deleteMessage),

    async addReaction(request, context) {
      const { emoji } = request;
      checkEmoji(emoji);
      return revise(request, context, (...target) => addReaction(...target, emoji));
    },

    async removeReaction(request, context) {
      const { emoji } = request;
      checkEmoji(emoji);
      return revise(request, context, (...target) => removeReaction(...target, emoji));
    },

    async listReactions(request, context) {
      const { userId } = requireIdentity(context);
      return orUnavailable(
        history.reads.run(userId, () => listReactions(request, userId, history), context.signal),
      );
    },

    async listRevisedMessages(request, context) {
      const { userId } = requireIdentity(context);
      return orUnavailable(
        history.reads.run(userId, () => listRevised(request, userId, history), context.signal),
      );
    },
  };
}

async function listReactions(
  { channelId, messageId, emoji, ...page }: ListReactionsRequest,
  userId: string,
  history: HistoryDependencies,
) {
  checkChannelId(channelId);
  checkMessageId("message_id", messageId);
  if (emoji !== "") checkEmoji(emoji);
  const size = pageSize(page.pageSize, 50, 200);
  const after = page.pageToken === "" ? 0 : readSequenceToken(page.pageToken);
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
