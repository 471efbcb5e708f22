/**
 * MessageService.SyncChannels: what several channels have got since a device last looked, from
 * the history, so that it is the same whether the log still has it or not.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { DeliveryMode, type Message } from "../../../gen/parley/message/v1/message_pb.js";
import type { SyncChannelsRequest } from "../../../gen/parley/message/v1/message_service_pb.js";
import {
  type ChannelPosition,
  type ChannelUpdateSchema,
  ChannelUpdateState,
} from "../../../gen/parley/message/v1/sync_pb.js";
import { positionsMax } from "../../../mesh/channel-feeds.ts";
import { isComingOrGoing } from "../../../mesh/channel-items.ts";
import { concurrently } from "../../../mesh/concurrently.ts";
import { DomainError, fieldInvalid, unavailable } from "../../../mesh/errors.ts";
import { asUnavailable } from "../message-codes.ts";
import { checkChannelId } from "../request-fields.ts";
import { type HistoryDependencies, type HistorySource, openHistory } from "./history-source.ts";
import { bytesOf } from "./message-bytes.ts";
import { readRevised } from "./revised-messages.ts";

type Update = Omit<MessageInitShape<typeof ChannelUpdateSchema>, "$typeName">;

/** Items that a device may lack of a channel: more is read from the history, a page at a time. */
const lackedMax = 1_000;
/** Bytes of messages in a response, which must fit into a frame; one message is given in any case. */
const responseBytesMax = 384 * 1024;
/** Bytes of messages that a device may lack; past it the same. */
const lackedBytesMax = 4 * 1024 * 1024;
/** Older messages that may have been revised: more, and the device is better off beginning anew. */
const revisedMax = 200;
/** Messages read at once, of any size. */
const chunkMax = 50;
/** Channels that are read at once. */
const channelsAtOnce = 8;

/** Answers each position in turn. @throws DomainError FIELD_INVALID */
export async function syncChannels(
  { positions }: SyncChannelsRequest,
  userId: string,
  deps: HistoryDependencies,
): Promise<Update[]> {
  checkPositions("positions", positions, 1, positionsMax);
  const room = { bytes: responseBytesMax, isUntouched: true };
  return concurrently(positions, channelsAtOnce, (position) =>
    syncChannel(position, userId, room, deps),
  );
}

/** Refuses positions that are too few or too many, or name a channel twice. @throws DomainError FIELD_INVALID */
export function checkPositions(
  field: string,
  positions: readonly ChannelPosition[],
  min: number,
  max: number,
): void {
  if (positions.length < min || positions.length > max) {
    throw fieldInvalid(field, `${positions.length} are not ${min} to ${max}`);
  }
  const seen = new Set<string>();
  for (const { channelId } of positions) {
    checkChannelId(channelId);
    if (seen.has(channelId)) throw fieldInvalid(field, `${channelId} comes twice`);
    seen.add(channelId);
  }
}

/** What a response can still carry. */
interface Room {
  bytes: number;
  /** Whether no message has been given yet. */
  isUntouched: boolean;
}

async function syncChannel(
  { channelId, channelSequence: position }: ChannelPosition,
  userId: string,
  room: Room,
  deps: HistoryDependencies,
): Promise<Update> {
  try {
    const source = await openHistory(channelId, userId, deps);
    const { mode, memberCount, lastChannelSequence, isMember } = source.channel;
    const about = {
      ...{ channelId, mode, member: isMember, memberCount: isMember ? memberCount : 0 },
      minChannelSequence: source.visibility.presentStart,
    };
    const { lacked, turn } = await readAfter(position, source);
    // Who is no member any more does not learn how far the channel has got.
    const end = isMember ? lastChannelSequence : (lacked?.at(-1)?.channelSequence ?? position);
    const readHistory = {
      ...about,
      state: ChannelUpdateState.READ_HISTORY,
      channelSequence: end,
    };
    if (!lacked) return readHistory;
    const revisedMessages = await readOlderRevised(position, source);
    if (!revisedMessages) return readHistory;
    const isShared = !room.isUntouched;
    if (take(revisedMessages, room).length < revisedMessages.length) {
      // In a response of its own there may be room; else the device is better off beginning anew.
      return isShared
        ? { ...about, state: ChannelUpdateState.MORE, channelSequence: position }
        : readHistory;
    }
    const countedFrom = mode === DeliveryMode.LIVE ? turn : Number.POSITIVE_INFINITY;
    const shown = lacked.filter((message) => {
      return message.channelSequence < countedFrom || !isComingOrGoing(message, userId);
    });
    const messages = take(shown, room);
    const isAll = messages.length === shown.length;
    return {
      ...about,
      state: isAll ? ChannelUpdateState.CURRENT : ChannelUpdateState.MORE,
      channelSequence: isAll ? end : (messages.at(-1)?.channelSequence ?? position),
      messages,
      revisedMessages,
    };
  } catch (thrown) {
    return { channelId, state: stateOf(thrown) };
  }
}

/** What comes after a position. */
interface Later {
  /** The messages that the reader may see, in order; undefined: they are too many, or too large. */
  lacked: Message[] | undefined;
  /** The item among all of them that turned the channel LIVE; 0: none did. */
  turn: number;
}

async function readAfter(position: number, source: HistorySource): Promise<Later> {
  const tooMuch = { lacked: undefined, turn: 0 };
  const { lastChannelSequence } = source.channel;
  if (lastChannelSequence - position > lackedMax) return tooMuch;
  const lacked: Message[] = [];
  let turn = 0;
  let bytes = 0;
  let maxId = source.lastMessageId;
  for (let oldest = lastChannelSequence + 1; oldest > position + 1 && maxId > 0n; ) {
    const chunk = await source.read(0n, maxId, true, Math.min(chunkMax, oldest - 1 - position));
    for (const message of chunk) {
      oldest = message.channelSequence;
      if (oldest <= position) break;
      if (isTurn(message)) turn = oldest;
      if (!source.visibility.includes(oldest)) continue;
      lacked.push(message);
      bytes += bytesOf(message);
    }
    if (bytes > lackedBytesMax) return tooMuch;
    if (chunk.length < chunkMax) break;
    maxId = chunk.at(-1)!.messageId - 1n;
  }
  lacked.reverse();
  const first = lacked[0];
  const isWhole = first?.channelSequence === position + 1;
  const holes = source.missing().filter(({ maxMessageId }) => {
    return !(isWhole && maxMessageId < first.messageId);
  });
  if (holes.length > 0) throw unavailable("a part of the history can't be read now");
  return { lacked, turn };
}

/** What was revised of what a device has; undefined: it is too much. */
async function readOlderRevised(
  position: number,
  source: HistorySource,
): Promise<Message[] | undefined> {
  if (position === 0) return [];
  const { messages, isEnd, isWhole } = await readRevised(source, position, revisedMax);
  if (!isWhole) throw unavailable("a part of the history can't be read now");
  return isEnd ? messages.filter((each) => each.channelSequence <= position) : undefined;
}

/** Whether the message says that the channel is LIVE from then on. */
function isTurn({ body }: Message): boolean {
  return body.case === "channelChange" && body.value.change.case === "mode";
}

/** As many messages as there is room for, and the response's first in any case. */
function take(messages: readonly Message[], room: Room): Message[] {
  let count = 0;
  for (const message of messages) {
    const bytes = bytesOf(message);
    if (bytes > room.bytes && !room.isUntouched) break;
    room.isUntouched = false;
    room.bytes -= bytes;
    count++;
  }
  return messages.slice(0, count);
}

function stateOf(thrown: unknown): ChannelUpdateState {
  const error = asUnavailable(thrown);
  if (error instanceof DomainError) {
    if (error.reason === "NOT_A_MEMBER") return ChannelUpdateState.NOT_A_MEMBER;
    if (error.reason === "CHANNEL_DELETED") return ChannelUpdateState.DELETED;
    if (error.reason === "UNAVAILABLE" || error.reason === "OVERLOADED") {
      return ChannelUpdateState.UNAVAILABLE;
    }
  }
  throw error;
}
