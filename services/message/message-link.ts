/** The server's half of the batched link: an edge's sends in, results out, one write a turn. */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type LinkCursor,
  type LinkDelivered,
  type LinkResponse,
  LinkResponseSchema,
  type LinkSend,
  type LinkSendResult,
  LinkSendResultSchema,
  type MessageService,
  type SendMessageRequest,
  SendMessageResponseSchema,
} from "../../gen/parley/message/v1/message_service_pb.js";
import { ErrorSchema } from "../../gen/parley/rpc/v1/error_pb.js";
import type { Clock } from "../../mesh/clock.ts";
import { toRpcError } from "../../mesh/errors.ts";
import type { Logger } from "../../mesh/logger.ts";
import { methodPolicy } from "../../mesh/methods.ts";
import { Outage } from "../../mesh/outage.ts";
import type { DuplexHandler } from "../../mesh/rpc.ts";
import { TurnBatch } from "../../mesh/turn-batch.ts";
import { sendText } from "./channel/changes.ts";
import type { Change, Outcome } from "./channel/channel-change.ts";
import type { Channels } from "./channel/channels.ts";
import { mentionableNames } from "./channel/mentions.ts";
import type { Cursors } from "./cursors/cursors.ts";
import { markDelivered } from "./cursors/device-cursors.ts";
import { messageCodes } from "./message-codes.ts";
import {
  checkChannelId,
  checkClientMessageId,
  checkDelivered,
  checkMessageId,
  checkText,
} from "./request-fields.ts";
import type { MessageStore } from "./store/message-store.ts";

type LinkMethod = (typeof MessageService)["method"]["link"];

/** Answers that wait for one edge to read; past it the link is closed and the edge asks again. */
const answersQueueMax = 16_384;
/** About what a send takes besides its text: ids, times, frames. */
const sendOverheadBytes = 200;

/** What links work on. */
export interface LinkDependencies {
  channels: Channels;
  cursors: Cursors;
  store: MessageStore;
  clock: Clock;
  logger: Logger;
}

/** Serves links. `deadlineMs` bounds each send. */
export function serveLink(
  { channels, cursors: memberCursors, store, clock, logger }: LinkDependencies,
  deadlineMs: number,
): DuplexHandler<LinkMethod> {
  const [began, ended] = ["device_cursors_lost", "device_cursors_kept_again"];
  const outage = new Outage({ logger, clock, level: "warn", began, ended });
  return (stream, context) => {
    if (context.identity) {
      stream.end();
      return;
    }
    const answers = new TurnBatch<LinkSendResult>(
      {
        itemsMax: 256,
        bytesMax: 512 * 1024,
        queueItemsMax: answersQueueMax,
        queueBytesMax: 1 << 24,
      },
      (results) => stream.write(create(LinkResponseSchema, { results }) satisfies LinkResponse),
    );
    const answer = (result: LinkSendResult) => {
      if (!answers.add(result, 64)) stream.end();
    };
    stream.onDrain = () => answers.resume();
    stream.onClose = () => answers.clear();
    stream.onMessage = ({ sends, cursors, delivered }) => {
      for (const send of sends) take(send, answer);
      for (const cursor of cursors) void mark(cursor);
      for (const each of delivered) void markInChannel(each);
    };
  };

  function take(send: LinkSend, answer: (result: LinkSendResult) => void): void {
    const { linkId, userId, request, traceParent } = send;
    try {
      if (!request) throw new Error("a LinkSend without a request");
      const change = sendChange(
        request,
        userId,
        traceParent,
        clock.nowMs(),
        deadlineMs,
        (outcome) =>
          answer(outcome instanceof Error ? failure(linkId, outcome) : success(linkId, outcome)),
      );
      channels.submit(request.channelId, change);
    } catch (thrown) {
      answer(failure(linkId, thrown));
    }
  }

  async function mark({ userId, deviceId, cursor }: LinkCursor): Promise<void> {
    try {
      await markDelivered(store, { userId, deviceId }, cursor);
      outage.worked();
    } catch (err) {
      outage.failed(err);
    }
  }

  async function markInChannel({ userId, channel }: LinkDelivered): Promise<void> {
    try {
      if (!channel) throw new Error("a LinkDelivered without a channel");
      checkDelivered([channel]);
      await memberCursors.markDelivered(userId, channel);
    } catch (err) {
      logger.debug({ event: "delivered_cursor_lost", user_id: userId, err });
    }
  }

  function failure(linkId: number, thrown: unknown): LinkSendResult {
    const error = toRpcError(thrown, messageCodes);
    if (error.reason === "INTERNAL") logger.error({ event: "send_failed", err: thrown });
    const { code, reason, message, details } = error;
    const value = create(ErrorSchema, {
      code,
      reason,
      message,
      retryAfterMs: details.retryAfterMs ?? 0,
      fieldViolations: [...(details.fieldViolations ?? [])],
    });
    return create(LinkSendResultSchema, { linkId, result: { case: "error", value } });
  }
}

/** How long a send may take, by its contract. */
export function sendDeadlineMs(service: typeof MessageService): number {
  return methodPolicy(service.method.sendMessage).deadlineMs;
}

/** The change that a send asks for. @throws DomainError where the request is bad. */
export function sendChange(
  request: SendMessageRequest,
  senderId: string,
  traceParent: string,
  nowMs: number,
  timeoutMs: number,
  done: Change["done"],
): Change {
  const { channelId, clientMessageId, text, replyToMessageId } = request;
  checkChannelId(channelId);
  const clientTimeMs = checkClientMessageId(clientMessageId, nowMs);
  checkText(text);
  checkMessageId("reply_to_message_id", replyToMessageId);
  return {
    senderId,
    clientMessageId,
    clientTimeMs,
    replyToMessageId,
    targetId: replyToMessageId,
    names: mentionableNames(text),
    traceParent,
    bytes: text.length * 3 + sendOverheadBytes,
    deadlineMs: nowMs + timeoutMs,
    decide: sendText(channelId, senderId, text, replyToMessageId),
    done,
  };
}

/** What a sender is told. */
export function sendResponse({ placement }: Outcome) {
  const { messageId, prevMessageId, channelSequence, sendTimeMs } = placement!;
  const sendTime = timestampFromMs(sendTimeMs);
  return create(SendMessageResponseSchema, { messageId, prevMessageId, channelSequence, sendTime });
}

function success(linkId: number, outcome: Outcome): LinkSendResult {
  const value = sendResponse(outcome);
  return create(LinkSendResultSchema, { linkId, result: { case: "response", value } });
}
