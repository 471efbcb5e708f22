import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, it } from "vitest";
import {
  MembershipChange_Kind as ChangeKind,
  MessageSchema,
} from "../../../gen/parley/message/v1/message_pb.js";
import { AccessState } from "./access-state.ts";

type Init = MessageInitShape<typeof MessageSchema>;

function item(channelSequence: number, body: NonNullable<Init["body"]>) {
  const sendTime = timestampFromMs(channelSequence * 1_000);
  return create(MessageSchema, { channelSequence, senderId: "ann", sendTime, body });
}

function link(channelSequence: number, expireSequence = 0) {
  const expireTime = timestampFromMs(expireSequence * 1_000);
  const inviteLink = { creatorId: "ann", ...(expireSequence && { expireTime }) };
  const value = { inviteLink, tokenHash: new Uint8Array([channelSequence]) };
  const change = { case: "inviteLinkCreated", value } as const;
  return item(channelSequence, { case: "channelChange", value: { change } });
}

function join(channelSequence: number, inviteLinkId: number) {
  const value = { kind: ChangeKind.JOINED, userIds: ["ben"], inviteLinkId };
  return item(channelSequence, { case: "membershipChange", value });
}

it("[G1] a use of a link counts once, though the store knew of it before the channel's row did", () => {
  const items = [link(2), join(3, 2), join(4, 2)];
  const stored = new AccessState(undefined, 0);
  for (const each of items) stored.apply(each);
  const loaded = new AccessState(stored.snapshot(), stored.changedSequence);
  for (const each of [...items, join(5, 2)]) loaded.apply(each);
  expect(loaded.inviteLinks.get(2)?.inviteLink?.uses).toBe(3);
  expect(stored.inviteLinks.get(2)?.inviteLink?.uses).toBe(2);
});

it("[G1] links that have expired are forgotten when another is created", () => {
  const state = new AccessState(undefined, 0);
  for (const each of [link(2, 4), link(3), link(5)]) state.apply(each);
  expect([...state.inviteLinks.keys()]).toEqual([3, 5]);
});

it("[G1] what is neither a ban nor about a link changes nothing", () => {
  const state = new AccessState(undefined, 0);
  state.apply(item(2, { case: "text", value: "hello" }));
  state.apply(join(3, 0));
  expect(state.changedSequence).toBe(0);
});
