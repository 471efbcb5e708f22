/** How the edge in edge-fake.ts answers calls, with what its channels hold. */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { ChannelSchema, Message } from "../../gen/parley/message/v1/message_pb.js";
import {
  type ListMessagesRequest,
  type ListRevisedMessagesRequest,
  MessageService,
} from "../../gen/parley/message/v1/message_service_pb.js";
import {
  type ChannelPosition,
  ChannelUpdateState as State,
} from "../../gen/parley/message/v1/sync_pb.js";

/** What calls are answered with, and what is wrong with it. */
export interface FakeHistory {
  /** Every channel's messages, by id. */
  readonly channels: ReadonlyMap<string, Message[]>;
  /** Pages of history say that they lack what lies below this id. */
  readonly degradedBelow: bigint;
  /** Ids that the history does not have. */
  readonly hidden: ReadonlySet<bigint>;
  /** Channels that the user has left. */
  readonly unlisted: ReadonlySet<string>;
  /** Messages that a device is brought of a channel at once. */
  readonly updateMax: number;
}

/** The answer to a call, encoded; undefined: this edge has no such method. */
export function answerTo(
  method: string,
  request: Uint8Array,
  history: FakeHistory,
): Uint8Array | undefined {
  const { getChannel, listMessages, listRevisedMessages, listChannels, syncChannels } =
    MessageService.method;
  switch (method.slice(method.indexOf("/") + 1)) {
    case listMessages.name:
      return encode(listMessages.output, page(fromBinary(listMessages.input, request), history));
    case listRevisedMessages.name: {
      const asked = fromBinary(listRevisedMessages.input, request);
      return encode(listRevisedMessages.output, revised(asked, history));
    }
    case listChannels.name: {
      const listed = [...history.channels.keys()].filter((id) => !history.unlisted.has(id));
      return encode(listChannels.output, { channels: listed.map((id) => channel(id, history)) });
    }
    case getChannel.name: {
      const { channelId } = fromBinary(getChannel.input, request);
      return encode(getChannel.output, { channel: channel(channelId, history) });
    }
    case syncChannels.name: {
      const { positions } = fromBinary(syncChannels.input, request);
      const updates = positions.map((position) => update(position, history));
      return encode(syncChannels.output, { updates });
    }
    default:
      return undefined;
  }
}

/** The channel_sequence of a channel's last item. */
export function lastSequence(messages: readonly Message[] = []): number {
  return Math.max(
    0,
    ...messages.map((each) => Math.max(each.channelSequence, each.revisionSequence)),
  );
}

function encode<O extends DescMessage>(schema: O, value: MessageInitShape<O>): Uint8Array {
  return toBinary(schema, create(schema, value));
}

function revised(
  { channelId, afterChannelSequence }: ListRevisedMessagesRequest,
  { channels }: FakeHistory,
) {
  const messages = channels.get(channelId)!;
  return {
    messages: messages.filter((each) => each.revisionSequence > afterChannelSequence),
    throughChannelSequence: lastSequence(messages),
  };
}

function channel(
  channelId: string,
  { channels }: FakeHistory,
): MessageInitShape<typeof ChannelSchema> {
  const messages = channels.get(channelId)!;
  const { messageId: lastMessageId } = messages.at(-1)!;
  const lastChannelSequence = lastSequence(messages);
  return { channelId, lastMessageId, lastChannelSequence, name: `name of ${channelId}` };
}

function update({ channelId, channelSequence }: ChannelPosition, history: FakeHistory) {
  const all = history.channels.get(channelId)!;
  const lacked = all.filter((message) => message.channelSequence > channelSequence);
  if (lacked.some(({ messageId }) => messageId < history.degradedBelow)) {
    return { channelId, state: State.UNAVAILABLE };
  }
  const about = {
    channelId,
    member: !history.unlisted.has(channelId),
    channelSequence: lastSequence(all),
  };
  if (lacked.length > history.updateMax) return { ...about, state: State.READ_HISTORY };
  const messages = lacked.filter(({ messageId }) => !history.hidden.has(messageId));
  const revisedMessages = all.filter((message) => {
    return message.channelSequence <= channelSequence && message.revisionSequence > channelSequence;
  });
  return { ...about, state: State.CURRENT, messages, revisedMessages };
}

/** Only what the SDK asks for by itself: what follows an id, oldest first; or the newest. */
function page(request: ListMessagesRequest, history: FakeHistory) {
  const all = history.channels.get(request.channelId)!;
  const size = request.pageSize || 50;
  if (request.start.case !== "afterMessageId" && request.pageToken === "") {
    return { messages: all.slice(-size).reverse() };
  }
  const after = BigInt(request.pageToken || (request.start.value ?? 0n));
  const found = all.filter(({ messageId }) => messageId > after && !history.hidden.has(messageId));
  const messages = found
    .slice(0, size)
    .filter(({ messageId }) => messageId >= history.degradedBelow);
  const range = { minMessageId: 1n, maxMessageId: history.degradedBelow - 1n };
  return {
    messages,
    nextPageToken: found.length > size ? `${found[size - 1]!.messageId}` : "",
    degraded: history.degradedBelow > 0n,
    degradedRanges: history.degradedBelow > 0n ? [range] : [],
  };
}
