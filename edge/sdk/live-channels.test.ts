import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { FollowChannelsResultSchema } from "../../gen/parley/edge/v1/frame_pb.js";
import {
  MembershipChange_Kind as ChangeKind,
  ChannelSchema,
  DeliveryMode,
  MembershipChangeSchema,
  type Message,
  MessageSchema,
} from "../../gen/parley/message/v1/message_pb.js";
import {
  type ChannelUpdateSchema,
  ChannelUpdateState as State,
} from "../../gen/parley/message/v1/sync_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { ChannelSync } from "./channel-sync.ts";
import { settled } from "./client-fixture.ts";
import { LiveChannels } from "./live-channels.ts";

const channelId = "g-1";

/** The item of a LIVE channel with this number. */
function message(channelSequence: number, body: Message["body"]): Message {
  const messageId = BigInt(channelSequence);
  const rest = { channelId, messageId, prevMessageId: messageId - 1n, channelSequence };
  return Object.assign(create(MessageSchema, rest), { body });
}

const text = (channelSequence: number) =>
  message(channelSequence, { case: "text", value: `${channelSequence}` });

function membership(channelSequence: number, kind: ChangeKind): Message {
  const value = create(MembershipChangeSchema, { kind, userIds: ["ann"] });
  return message(channelSequence, { case: "membershipChange", value });
}

/** A device that is connected, and at item 1 of a LIVE channel; no history can be read. */
async function start(knownId = channelId) {
  const told: number[] = [];
  const asked: number[] = [];
  const parts = { timers: new ManualClock(), random: () => 0.5 };
  const { signal } = new AbortController();
  const never = () => new Promise<never>(() => {});
  const sync: ChannelSync = new ChannelSync(
    {
      ...{ ...parts, signal, userId: "ann", listMessages: never, listRevisedMessages: never },
      onMessage: ({ channelSequence }) => told.push(channelSequence),
      ...{ onRevision: () => true, onRevised() {}, onBaseline() {}, onHeld() {}, onReleased() {} },
      onPosition: (position) => live.consider(position.channelId),
    },
    [{ channelId: knownId, lastMessageId: 1n, lastChannelSequence: 1, member: true }],
  );
  const live = new LiveChannels({
    ...{ ...parts, signal, sync, isLive: () => true, onCount() {} },
    follow: (channels) => asked.push(...channels.map(({ channelSequence }) => channelSequence)),
  });
  live.onCaughtUp();
  await settled();
  const answer = (update: Omit<MessageInitShape<typeof ChannelUpdateSchema>, "$typeName">) => {
    const updates = [{ channelId, state: State.CURRENT, mode: DeliveryMode.LIVE, ...update }];
    live.onResult(create(FollowChannelsResultSchema, { updates }));
  };
  return { sync, told, asked, answer, timers: parts.timers };
}

it("[G3] an answer is no news to a device that begins earlier by now", async () => {
  const { sync, told, asked, answer } = await start("g-2");
  const listed = { channelId, lastMessageId: 9n, lastChannelSequence: 9 };
  sync.list(create(ChannelSchema, listed));
  await settled();
  sync.receive(membership(5, ChangeKind.ADDED), 0n);
  answer({ member: true, channelSequence: 9 });
  await settled();
  expect(asked).toEqual([1, 9, 5]);
  answer({ member: true, channelSequence: 9, messages: [text(6), text(9)] });
  expect(told).toEqual([5, 6, 9]);
});

it("[G3] [G4] a device that was removed while it asked follows again when it is back", async () => {
  const { sync, told, asked, answer } = await start();
  sync.receive(membership(3, ChangeKind.REMOVED), 0n);
  answer({ member: true, channelSequence: 2, messages: [text(2)] });
  expect(told).toEqual([2, 3]);
  expect(sync.of(channelId)?.member).toBe(false);
  sync.receive(membership(4, ChangeKind.ADDED), 1n);
  await settled();
  expect(asked).toEqual([1, 4]);
});

it("[G3] an answer that does not help is asked for again, whatever an earlier one said", async () => {
  const { sync, asked, answer, timers } = await start();
  sync.receive(membership(2, ChangeKind.REMOVED), 0n);
  sync.receive(membership(3, ChangeKind.ADDED), 1n);
  await settled();
  answer({ member: false, channelSequence: 2 });
  answer({ state: State.UNAVAILABLE });
  timers.advance(60_000);
  await settled();
  expect(asked).toEqual([1, 3, 3]);
});
