/** Reads histories as clients do, and compares every page with what has really happened. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Message } from "../../gen/parley/message/v1/message_pb.js";
import {
  type ListMessagesRequest,
  type ListMessagesResponse,
  MessageOrder,
  MessageService,
} from "../../gen/parley/message/v1/message_service_pb.js";
import { RpcError } from "../../mesh/errors.ts";
import { messageIdMax } from "../../mesh/ids.ts";
import type { Identity } from "../../mesh/rpc.ts";
import type { Network } from "./network.ts";
import { type Blame, isMessage, type TrueChannel, type TrueLog } from "./true-log.ts";

/** Where a walk along a channel begins and how. */
export interface Walk {
  channelId: string;
  order: MessageOrder;
  pageSize: number;
  /** Only what comes after this id in the walk's order; unset: from its end. */
  afterId?: bigint;
}

type PageRequest = Pick<ListMessagesRequest, "channelId" | "order" | "pageSize"> & {
  pageToken: string;
  start?: { case: "aroundMessageId" | "afterMessageId" | "beforeMessageId"; value: bigint };
};

/** What a page says it may lack. */
export type DegradedRanges = ListMessagesResponse["degradedRanges"];

/** The histories as one device reads them. */
export class HistoryReader {
  private readonly network: Network;
  private readonly truth: TrueLog;
  private readonly blame: Blame;

  constructor(network: Network, truth: TrueLog, blame: Blame) {
    this.network = network;
    this.truth = truth;
    this.blame = blame;
  }

  /** The pages of a walk, to its end. @throws RpcError */
  async *walk(
    { channelId, order, pageSize, afterId }: Walk,
    reader: Identity,
  ): AsyncGenerator<ListMessagesResponse> {
    const upwards = order === MessageOrder.OLDEST_FIRST;
    let bound = afterId ?? (upwards ? 0n : messageIdMax);
    const side = upwards ? "afterMessageId" : "beforeMessageId";
    const request: PageRequest = { channelId, order, pageSize, pageToken: "" };
    if (afterId !== undefined) request.start = { case: side, value: afterId };
    for (;;) {
      const { page, required } = await this.read(request, reader);
      const ids = page.messages.map(({ messageId }) => messageId);
      const isEnd = page.nextPageToken === "";
      const last = ids.at(-1) ?? bound;
      // What lies between the page before and this page's last message, or the end.
      const covers = (id: bigint) =>
        upwards ? id > bound && (isEnd || id <= last) : id < bound && (isEnd || id >= last);
      const where = `${channelId} ${upwards ? "after" : "before"} ${bound}`;
      for (const id of ids) {
        if (!covers(id)) this.blame("complete-history", `${where}: ${id} is shown again`);
      }
      if (ids.some((id, i) => i > 0 && id > ids[i - 1]! !== upwards)) {
        this.blame("complete-history", `${where}: ${ids} is out of order`);
      }
      this.require(
        required.filter(({ messageId }) => covers(messageId)),
        page,
        where,
        reader,
      );
      yield page;
      if (isEnd) return;
      bound = last;
      request.pageToken = page.nextPageToken;
    }
  }

  /** Reads the page around a message. @throws RpcError */
  async around(channelId: string, id: bigint, pageSize: number, reader: Identity): Promise<void> {
    const order = MessageOrder.OLDEST_FIRST;
    const start = { case: "aroundMessageId" as const, value: id };
    const request: PageRequest = { channelId, order, pageSize, pageToken: "", start };
    const { page, required } = await this.read(request, reader);
    const first = page.messages[0]?.messageId ?? id;
    const last = page.messages.at(-1)?.messageId ?? id;
    const within = required.filter(
      ({ messageId }) => messageId === id || (messageId >= first && messageId <= last),
    );
    this.require(within, page, `${channelId} around ${id}`, reader);
  }

  /** A page, checked for what must not be in it, with what must be if it lies in its range. */
  private async read(request: PageRequest, reader: Identity) {
    const { userId } = reader;
    const before = this.truth.channels.get(request.channelId);
    const readable = before?.readableBy(userId) ?? [];
    const changes = before?.changesOf(userId) ?? 0;
    let page: ListMessagesResponse;
    try {
      page = await this.network.call(
        MessageService.method.listMessages,
        request as MessageInitShape<typeof MessageService.method.listMessages.input>,
        request.channelId,
        reader,
      );
    } catch (error) {
      if (error instanceof RpcError && error.reason === "NOT_A_MEMBER" && changes > 0) {
        this.blame("complete-history", `${userId} was refused the history of ${request.channelId}`);
      }
      throw error;
    }
    const channel = this.truth.channels.get(request.channelId);
    for (const message of page.messages) {
      const place = `${request.channelId} #${message.channelSequence}`;
      if (!channel?.mayHaveSeen(userId, message.channelSequence)) {
        this.blame("membership-respected", `${userId} read ${place}`);
      }
      if (!channel || !isTrue(message, channel)) {
        this.blame("complete-history", `${userId} read ${place}, which is otherwise`);
      }
    }
    // Who came or went meanwhile may look back or not; the own stays are to be seen in any case.
    const isSettled = channel?.changesOf(userId) === changes;
    const required = isSettled
      ? readable
      : readable.filter(({ channelSequence }) => channel!.inStay(userId, channelSequence));
    return { page, required };
  }

  private require(
    required: readonly Message[],
    page: ListMessagesResponse,
    where: string,
    { userId }: Identity,
  ): void {
    const shown = new Set(page.messages.map(({ messageId }) => messageId));
    for (const { messageId, channelSequence } of required) {
      if (shown.has(messageId) || isIn(page.degradedRanges, messageId)) continue;
      this.blame("complete-history", `${userId} read ${where}: #${channelSequence} is missing`);
    }
  }
}

/** Whether a page says that it may lack the message. */
export function isIn(ranges: DegradedRanges, messageId: bigint): boolean {
  return ranges.some((range) => range.minMessageId <= messageId && messageId <= range.maxMessageId);
}

/** Whether it is a message of the channel, as it was sent or as it was at some time since. */
export function isTrue(message: Message, channel: TrueChannel): boolean {
  const truth = channel.items[message.channelSequence - 1];
  if (!truth || !isMessage(truth)) return false;
  const { body } = message;
  const isRevised = message.deleteTime !== undefined || message.bodyOmitted;
  const isText = body.case === "text" && truth.body.case === "text";
  if (isText && !channel.textsOf(truth).includes(body.value)) return false;
  return isSame(truth, message) && (isRevised || body.case === truth.body.case);
}

/** Whether it is the same message. */
function isSame(a: Message, b: Message): boolean {
  return (
    a.messageId === b.messageId &&
    a.prevMessageId === b.prevMessageId &&
    a.senderId === b.senderId &&
    a.clientMessageId === b.clientMessageId
  );
}
