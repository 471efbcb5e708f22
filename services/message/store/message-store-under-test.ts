/** What the parts of the contract suite of message-store.ts share. */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ChannelKind,
  ChannelSchema,
  MemberRole,
  type Message,
  MessageSchema,
  type Revision,
  RevisionSchema,
} from "../../../gen/parley/message/v1/message_pb.js";
import type { ChannelRow, MembershipRow, MessageRange, MessageStore } from "./message-store.ts";

/** An adapter under test, over an empty store. */
export interface MessageStoreUnderTest {
  /** Opens the store; after it was closed: again, with the same rows. */
  open(): Promise<MessageStore>;
  /** Removes the rows. The store is closed. */
  dispose(): Promise<void>;
}

/** The store of the test that runs. */
export interface OpenMessageStore {
  readonly store: MessageStore;
  /** Closes it and opens it again. */
  reopen(): Promise<void>;
}

/** A range of messages without their reactions. */
export async function messagesOf(store: MessageStore, range: MessageRange): Promise<Message[]> {
  return (await store.listMessages(range)).map(({ message }) => message);
}

/** A text of channel g-1 by u1. */
export function message(
  messageId: bigint,
  rest: Parameters<typeof create<typeof MessageSchema>>[1] = {},
): Message {
  return create(MessageSchema, {
    channelId: "g-1",
    messageId,
    prevMessageId: messageId - 1n,
    channelSequence: 1,
    senderId: "u1",
    clientMessageId: `c${messageId}`,
    sendTime: timestampFromMs(1_767_225_600_123),
    body: { case: "text", value: `text ${messageId}` },
    ...rest,
  });
}

/** A revision of a message of channel g-1, whose sequence is 1, by u1. */
export function revision(
  messageId: bigint,
  channelSequence: number,
  change: Revision["change"],
  rest: Parameters<typeof create<typeof RevisionSchema>>[1] = {},
): Revision {
  return create(RevisionSchema, {
    ...{ channelId: "g-1", messageId, channelSequence, messageChannelSequence: 1, change },
    ...{ senderId: "u1", clientMessageId: `r${channelSequence}` },
    reviseTime: timestampFromMs(1_767_225_700_000 + channelSequence),
    ...rest,
  });
}

/** Channel g-1 as of a sequence. */
export function channel(sequence: number, channelId = "g-1"): ChannelRow {
  return {
    channel: create(ChannelSchema, {
      ...{ channelId, kind: ChannelKind.GROUP, name: `name ${sequence}`, creatorId: "u1" },
      lastChannelSequence: sequence,
    }),
    sequence,
    logSequence: 1_000 + sequence,
    maxClientTimeMs: 1_767_225_600_000 + sequence,
  };
}

/** A stay of u1 in g-1 that goes on. */
export function stay(row: Partial<MembershipRow>): MembershipRow {
  return {
    ...{ channelId: "g-1", userId: "u1", joinedSequence: 2, leftSequence: 0, sequence: 2 },
    ...{ role: MemberRole.MEMBER, joinTimeMs: 1_767_225_600_123 },
    ...row,
  };
}
