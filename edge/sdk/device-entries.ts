/** The entries of a {@link ClientStore}: which there are, and what their texts mean. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import {
  type Channel,
  ChannelSchema,
  type Message,
  MessageSchema,
} from "../../gen/parley/message/v1/message_pb.js";

/** A position in the inbox: the sync token. */
export interface InboxPosition {
  /** Empty: none yet. */
  epoch: string;
  /** The last entry that the device has processed with all before it; 0: none. */
  sequence: bigint;
}

/** How far a device is in one channel. */
export interface ChannelPosition {
  channelId: string;
  /** The last message told of; 0: none. */
  lastMessageId: bigint;
  /** Its dense number. */
  lastChannelSequence: number;
  /** Whether the user is a member, as of that message. */
  member: boolean;
}

/** A text that is not acknowledged. */
export interface QueuedSend {
  channelId: string;
  clientMessageId: string;
  /** Greater than that of every text before it: ids may begin anew where a clock was wrong. */
  number: number;
  text: string;
  /** 0: none. */
  replyToMessageId: bigint;
}

/** Up to where a channel was read, which the service does not know yet. */
export interface ReadMark {
  channelId: string;
  messageId: bigint;
}

/** What a store held. */
export interface LoadedState {
  position: InboxPosition;
  curMaxMessageId: bigint;
  channels: ChannelPosition[];
  /** Channels as they were read last. */
  details: Channel[];
  /** By channel, and there by id. */
  messages: Message[];
  /** In the order of the sends. */
  sends: QueuedSend[];
  readMarks: ReadMark[];
}

/** One entry; a value of undefined removes it. */
export type Entry = readonly [key: string, value: string | undefined];

/** Whose state it is. */
export const userKey = "user";
const positionKey = "position";
const channelPrefix = "channel/";
const detailsPrefix = "details/";
const messagePrefix = "message/";
const sendPrefix = "send/";
const readMarkPrefix = "read/";

/** The position in the inbox, and the greatest message id up to there. */
export function positionEntry({ epoch, sequence }: InboxPosition, curMaxMessageId: bigint): Entry {
  return [positionKey, JSON.stringify([epoch, `${sequence}`, `${curMaxMessageId}`])];
}

/** How far the device is in a channel. */
export function channelEntry(position: ChannelPosition): Entry {
  const { channelId, lastMessageId, lastChannelSequence, member } = position;
  const value = [`${lastMessageId}`, lastChannelSequence, member];
  return [channelPrefix + channelId, JSON.stringify(value)];
}

/** A channel as it was read. */
export function detailsEntry(channel: Channel): Entry {
  // As bytes: what a newer service has said of it is kept for newer clients.
  const value = toBase64(toBinary(ChannelSchema, channel));
  return [detailsPrefix + channel.channelId, value];
}

/** A message that is at hand. */
export function messageEntry(message: Message): Entry {
  return [messageKey(message), toBase64(toBinary(MessageSchema, message))];
}

/** The same no more. */
export function messageRemoval(message: Message): Entry {
  return [messageKey(message), undefined];
}

/** A text on its way. */
export function sendEntry(send: QueuedSend): Entry {
  const { clientMessageId, channelId, text, replyToMessageId, number } = send;
  const value = [channelId, text, `${replyToMessageId}`, number];
  return [sendPrefix + clientMessageId, JSON.stringify(value)];
}

/** The same no more. */
export function sendRemoval(clientMessageId: string): Entry {
  return [sendPrefix + clientMessageId, undefined];
}

/** Up to where a channel was read; undefined: the service knows. */
export function readMarkEntry(channelId: string, messageId: bigint | undefined): Entry {
  return [readMarkPrefix + channelId, messageId?.toString()];
}

/** Reads all entries; what a newer version has added is skipped. */
export function parseEntries(entries: Iterable<readonly [string, string]>): LoadedState {
  const state: LoadedState = {
    position: { epoch: "", sequence: 0n },
    curMaxMessageId: 0n,
    channels: [],
    details: [],
    messages: [],
    sends: [],
    readMarks: [],
  };
  for (const [key, text] of entries) {
    const id = key.slice(key.indexOf("/") + 1);
    if (key === positionKey) {
      const [epoch, sequence, curMaxMessageId] = JSON.parse(text);
      state.position = { epoch, sequence: BigInt(sequence) };
      state.curMaxMessageId = BigInt(curMaxMessageId);
    } else if (key.startsWith(channelPrefix)) {
      const [lastMessageId, lastChannelSequence, member] = JSON.parse(text);
      const position = { lastMessageId: BigInt(lastMessageId), lastChannelSequence, member };
      state.channels.push({ channelId: id, ...position });
    } else if (key.startsWith(detailsPrefix)) {
      state.details.push(fromBinary(ChannelSchema, base64Decode(text)));
    } else if (key.startsWith(messagePrefix)) {
      state.messages.push(fromBinary(MessageSchema, base64Decode(text)));
    } else if (key.startsWith(readMarkPrefix)) {
      state.readMarks.push({ channelId: id, messageId: BigInt(text) });
    } else if (key.startsWith(sendPrefix)) {
      const [channelId, text_, reply, number] = JSON.parse(text);
      const send = { channelId, text: text_, replyToMessageId: BigInt(reply), number };
      state.sends.push({ clientMessageId: id, ...send });
    }
  }
  state.messages.sort(byChannelAndId);
  state.sends.sort((a, b) => a.number - b.number);
  return state;
}

function messageKey({ channelId, messageId }: Message): string {
  return `${messagePrefix}${channelId}/${messageId}`;
}

function byChannelAndId(a: Message, b: Message): number {
  if (a.channelId !== b.channelId) return a.channelId < b.channelId ? -1 : 1;
  return a.messageId < b.messageId ? -1 : 1;
}

/** By the platform: the library adds a character after the other, which large texts feel. */
function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let from = 0; from < bytes.length; from += bytesAtOnce) {
    text += String.fromCharCode(...bytes.subarray(from, from + bytesAtOnce));
  }
  return btoa(text);
}

/** Arguments of one call: engines take some tens of thousands. */
const bytesAtOnce = 8_192;
