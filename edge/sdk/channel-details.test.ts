import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import {
  MembershipChange_Kind as ChangeKind,
  type Channel,
  ChannelSchema,
  DeliveryMode,
  MessageSchema,
} from "../../gen/parley/message/v1/message_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { ChannelDetails } from "./channel-details.ts";
import { settled } from "./client-fixture.ts";

const channelId = "g-1";

function start(kept: Channel[] = []) {
  const clock = new ManualClock();
  const over = new AbortController();
  const changes: Channel[] = [];
  const asked: string[] = [];
  const answers = new Map<string, Channel | Code>();
  const details = new ChannelDetails(
    {
      userId: "ann",
      async getChannel(channelId) {
        asked.push(channelId);
        const answer = answers.get(channelId);
        if (typeof answer === "number") throw new ConnectError("no", answer);
        return answer;
      },
      onChange: (channel) => changes.push(channel),
      timers: clock,
      random: () => 0.5,
      signal: over.signal,
    },
    kept,
  );
  return { details, clock, over, changes, asked, answers };
}

const group = (fields: MessageInitShape<typeof ChannelSchema>) =>
  create(ChannelSchema, { channelId, name: "old", lastChannelSequence: 5, ...fields });

type Body = MessageInitShape<typeof MessageSchema>["body"];
const message = (channelSequence: number, body: Body) =>
  create(MessageSchema, {
    channelId,
    channelSequence,
    messageId: BigInt(channelSequence),
    ...(body && { body }),
  });

const renamed = (name: string): Body => ({
  case: "channelChange",
  value: { change: { case: "name", value: name } },
});

describe("ChannelDetails", () => {
  it("[K3] follows what messages say, whatever was read of an earlier time", () => {
    const { details, changes } = start([group({})]);
    details.apply(message(6, renamed("new")));
    details.take(group({}));
    details.apply(message(3, renamed("older")));
    expect(details.of(channelId)?.name).toBe("new");
    details.apply(
      message(7, {
        case: "channelChange",
        value: { change: { case: "settings", value: { public: true } } },
      }),
    );
    details.apply(
      message(8, {
        case: "channelChange",
        value: { change: { case: "mode", value: DeliveryMode.LIVE } },
      }),
    );
    details.apply(message(9, { case: "membershipChange", value: { memberCount: 101 } }));
    const now = { name: "new", public: true, mode: DeliveryMode.LIVE, memberCount: 101 };
    expect(details.of(channelId)).toMatchObject({ ...now, lastChannelSequence: 9 });
    expect(changes).toHaveLength(4);
  });

  it("[K3] says nothing where nothing has changed", () => {
    const { details, changes } = start();
    details.take(group({}));
    details.take(group({}));
    details.apply(message(6, { case: "text", value: "hello" }));
    expect(changes).toEqual([group({})]);
    expect(details.of(channelId)).toEqual(group({ lastChannelSequence: 6, lastMessageId: 6n }));
  });

  it("[K3] reads a channel that it does not know, once, until it can be read", async () => {
    const { details, clock, changes, asked, answers } = start();
    answers.set(channelId, Code.Unavailable);
    for (const sequence of [6, 7])
      details.apply(message(sequence, { case: "text", value: "hello" }));
    await settled();
    answers.set(channelId, group({ lastChannelSequence: 7 }));
    clock.advance(60_000);
    await settled();
    expect(asked).toEqual([channelId, channelId]);
    expect(changes).toEqual([details.of(channelId)]);
  });

  it("[G3] [K3] reads a new channel again that messages have changed before it was known", async () => {
    const { details, clock, asked, answers } = start();
    answers.set(channelId, group({ mode: DeliveryMode.COPY }));
    details.apply(message(5, { case: "membershipChange", value: { memberCount: 100 } }));
    const turn = { change: { case: "mode", value: DeliveryMode.LIVE } } as const;
    details.apply(message(7, { case: "channelChange", value: turn }));
    await settled();
    answers.set(channelId, group({ mode: DeliveryMode.LIVE, lastChannelSequence: 7 }));
    clock.advance(60_000);
    await settled();
    expect(asked).toEqual([channelId, channelId]);
    expect(details.of(channelId)?.mode).toBe(DeliveryMode.LIVE);
  });

  it("[K3] reads a channel again when the user is back in it, as it is by then", async () => {
    const { details, clock, asked, answers } = start([group({})]);
    const membership = (kind: ChangeKind, userId: string): Body => {
      return { case: "membershipChange", value: { kind, userIds: [userId] } };
    };
    details.apply(message(6, membership(ChangeKind.LEFT, "ann")));
    details.apply(message(7, membership(ChangeKind.JOINED, "ben")));
    expect(asked).toEqual([]);
    const live = { name: "new", mode: DeliveryMode.LIVE };
    answers.set(channelId, group({ ...live, lastChannelSequence: 9 }));
    details.apply(message(9, membership(ChangeKind.ADDED, "ann")));
    details.apply(message(10, renamed("newer")));
    await settled();
    answers.set(channelId, group({ ...live, name: "newer", lastChannelSequence: 10 }));
    clock.advance(60_000);
    await settled();
    expect(asked).toEqual([channelId, channelId]);
    expect(details.of(channelId)).toMatchObject({ ...live, name: "newer" });
  });

  it("[K3] does without a channel that it may not read", async () => {
    const { details, asked, answers } = start();
    answers.set(channelId, Code.PermissionDenied);
    details.apply(message(6, { case: "text", value: "hello" }));
    await settled();
    expect([details.of(channelId), asked]).toEqual([undefined, [channelId]]);
  });
});
