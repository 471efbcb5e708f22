import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import {
  EventSchema,
  ChannelDeliveriesSchema as FrameSchema,
} from "../../../gen/parley/edge/v1/frame_pb.js";
import { InboxEntrySchema as StoredEntrySchema } from "../../../gen/parley/log/v1/log_pb.js";
import { InboxEntrySchema } from "../../../gen/parley/message/v1/inbox_pb.js";
import {
  type FollowRequest,
  FollowRequestSchema,
  MessageService,
} from "../../../gen/parley/message/v1/message_service_pb.js";
import { ChannelDeliveriesSchema } from "../../../gen/parley/message/v1/sync_pb.js";
import { ChannelFeeds } from "../../../mesh/channel-feeds.ts";
import { Code } from "../../../mesh/errors.ts";
import { InboxFeeds } from "../../../mesh/inbox-feed.ts";
import { LogFeeds } from "../../../mesh/log-feed.ts";
import { silentLogger } from "../../../mesh/logger.ts";
import type { CallContext } from "../../../mesh/rpc.ts";
import { MessageFixture, turn } from "../message-fixture.ts";
import { serveFollow } from "./follow.ts";
import { Reader } from "./follow-reader.ts";

const { createGroup, sendMessage, addMembers, removeMember, deleteChannel } = MessageService.method;
const { markDelivered, syncChannels } = MessageService.method;

describe("[K4] following an inbox over gRPC", () => {
  let fixture: MessageFixture;
  let follow: ReturnType<typeof serveFollow>;
  let feeds: InboxFeeds;
  let syncFails = false;

  beforeEach(() => {
    fixture = new MessageFixture();
    const { streams, store, clock } = fixture;
    feeds = new InboxFeeds({ streams, clock });
    const message = fixture.instance();
    const channels = new ChannelFeeds({
      logs: new LogFeeds({ streams, clock }),
      async sync({ userId }, positions) {
        if (syncFails) throw new Error("away");
        return (await message.call(userId, syncChannels, { positions })).updates;
      },
      clock,
    });
    follow = serveFollow({ feeds, channels, store, clock, logger: silentLogger });
  });

  /** Follows as bob's device. */
  async function following(
    request: MessageInitShape<typeof FollowRequestSchema> = {},
    deviceId = "device",
  ): Promise<Reader> {
    const reader = new Reader();
    const identity = { userId: "bob", deviceId };
    const context = { identity } as unknown as CallContext;
    const asked: FollowRequest = create(FollowRequestSchema, request);
    await follow(asked, reader, context).catch((error) => reader.end(error));
    await settle();
    return reader;
  }

  async function settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await turn();
  }

  /** Appends a text to bob's inbox as fan-out does. */
  function store(value: string): Promise<number> {
    const message = { channelId: "g-1", body: { case: "text" as const, value } };
    const entry = { items: [{ item: { case: "message" as const, value: message } }] };
    const data = toBinary(StoredEntrySchema, create(StoredEntrySchema, entry));
    return fixture.streams.inbox.append("bob", data);
  }

  const at = (inboxSequence: number) => ({
    inboxEpoch: feeds.epoch("bob"),
    inboxSequence: BigInt(inboxSequence),
  });

  it("a new device is told where its inbox begins, then what comes", async () => {
    await store("before");
    const reader = await following();
    await store("hello");
    await store("again");
    await settle();
    const begin = ["started 1 NEW_DEVICE", "caughtUp 1"];
    expect(reader.heard).toEqual([...begin, "2 after 1: hello", "3 after 2: again"]);
  });

  it("[M8] hears of cursors and who is writing, not of friends' presence", async () => {
    const reader = await following();
    await settle();
    const channelId = "g-1";
    const events: MessageInitShape<typeof EventSchema>["event"][] = [
      { case: "presence", value: { userId: "ann" } },
      { case: "typing", value: { channelId, userId: "ann" } },
      { case: "cursorsMoved", value: { channelId, cursors: [{ userId: "ann" }] } },
    ];
    for (const event of events) {
      const data = toBinary(EventSchema, create(EventSchema, { event: event! }));
      fixture.streams.publishInbox("bob", data);
    }
    await settle();
    expect(reader.heard.slice(2)).toEqual(["typing g-1", "cursorsMoved g-1"]);
  });

  it("[S2] a device that comes back gets what it lacks, in order, then caught_up, then the rest", async () => {
    for (let i = 1; i <= 600; i++) await store(`${i}`);
    const reader = await following(at(598));
    await store("live");
    await settle();
    expect(reader.heard).toEqual([
      "started 598 UNSPECIFIED",
      "599 after 598: 599",
      "600 after 599: 600",
      "caughtUp 600",
      "601 after 600: live",
    ]);
    expect(reader.responseSizes).toEqual([2, 1]);
  });

  it("[S4] who can't go on is told why before anything else", async () => {
    await store("one");
    const otherEpoch = await following({ inboxEpoch: "gone", inboxSequence: 1n });
    expect(otherEpoch.heard).toEqual(["started 1 UNKNOWN_EPOCH", "caughtUp 1"]);
    const ahead = await following(at(9));
    expect(ahead.heard).toEqual(["started 9 UNSPECIFIED", "reset TRIMMED 1", "caughtUp 1"]);
  });

  it("[S1] who has lost its position goes on from what it marked as delivered", async () => {
    for (let i = 1; i <= 3; i++) await store(`${i}`);
    const cursor = { ...at(2), curMaxMessageId: 77n };
    await fixture.instance().call("bob", markDelivered, { cursor });
    const reader = await following({ curMaxMessageId: 77n });
    expect(reader.heard.slice(0, 2)).toEqual(["started 2 UNSPECIFIED", "3 after 2: 3"]);
    const behind = await following({ curMaxMessageId: 76n });
    expect(behind.heard[0]).toBe("started 3 NEW_DEVICE");
  });

  it("[G4] changes of membership come in their place, and nothing after one's own removal", async () => {
    const message = fixture.instance();
    const reader = await following();
    const { channel } = await message.call("alice", createGroup, {
      clientMessageId: fixture.clientId(),
      name: "walks",
      userIds: ["bob"],
    });
    const { channelId } = channel!;
    const send = (text: string) =>
      message.call("alice", sendMessage, {
        channelId,
        clientMessageId: fixture.clientId(),
        text,
      });
    await send("welcome");
    const clientMessageId = fixture.clientId();
    await message.call("alice", removeMember, { channelId, clientMessageId, userId: "bob" });
    await send("he has gone");
    await fixture.work();
    const items = reader.heard.slice(2).flatMap((line) => line.split(": ")[1]!.split(", "));
    expect(items).toEqual(["1", "welcome", "3"]);
  });

  it("[R1] who reads slowly is paused at 256 KB, then gets the rest and caught_up", async () => {
    await store("begin");
    const reader = await following(at(1));
    reader.isReading = false;
    const large = "x".repeat(100_000);
    for (let i = 0; i < 10; i++) {
      await store(`${i} ${large}`);
      await settle();
    }
    expect(reader.responseSizes).toEqual([1, 1, 1]);
    reader.read();
    await settle();
    const numbers = reader.heard.slice(2).filter((line) => line.includes("after"));
    expect(numbers.map((line) => line.split(" ")[0])).toEqual(
      Array.from({ length: 10 }, (_, i) => `${i + 2}`),
    );
    expect(reader.heard.at(-1)).toBe("caughtUp 11");
    fixture.clock.advance(60_000);
    expect(reader.error).toBeUndefined();
  });

  it("[R1] who does not read for 30 s is sent away", async () => {
    await store("begin");
    const reader = await following(at(1));
    reader.isReading = false;
    await store("x".repeat(300_000));
    await settle();
    fixture.clock.advance(29_999);
    expect(reader.error).toBeUndefined();
    fixture.clock.advance(1);
    const { code, reason } = reader.error!;
    expect({ code, reason }).toEqual({ code: Code.RESOURCE_EXHAUSTED, reason: "SLOW_CONSUMER" });
  });

  it("a device's second call to an instance takes the place of the first; other devices' don't", async () => {
    const first = await following();
    const other = await following({}, "other");
    const second = await following();
    expect(first.error).toMatchObject({ code: Code.ABORTED, reason: "REPLACED" });
    expect([other.error, second.error]).toEqual([undefined, undefined]);
    await store("hello");
    await settle();
    expect(second.heard.at(-1)).toContain("hello");
    expect(first.heard.at(-1)).not.toContain("hello");
  });

  it("refuses a position that can't be", async () => {
    const reader = await following({ inboxSequence: -1n });
    expect(reader.error).toMatchObject({ code: Code.INVALID_ARGUMENT, reason: "FIELD_INVALID" });
    expect(reader.error?.details.fieldViolations?.[0]?.field).toBe("inbox_sequence");
  });

  describe("[G3] in LIVE channels", () => {
    /** A group of alice and 99 others, to which bob is added: it turns LIVE with item 3. */
    async function setUp() {
      const message = fixture.instance();
      const userIds = Array.from({ length: 99 }, (_, i) => `u${i}`);
      const request = { clientMessageId: fixture.clientId(), name: "large", userIds };
      const { channelId } = (await message.call("alice", createGroup, request)).channel!;
      const ids = () => ({ channelId, clientMessageId: fixture.clientId() });
      const send = (text: string) => message.call("alice", sendMessage, { ...ids(), text });
      const add = () => message.call("alice", addMembers, { ...ids(), userIds: ["bob"] });
      const remove = () => message.call("alice", removeMember, { ...ids(), userId: "bob" });
      const deleteGroup = () => message.call("alice", deleteChannel, ids());
      return { channelId, send, add, remove, deleteGroup };
    }

    it("a caller hears of what it is in from where the inbox says so, until it is out", async () => {
      const { send, add, remove } = await setUp();
      const reader = await following();
      await add();
      await fixture.work();
      await settle();
      await send("hello");
      await fixture.work();
      await settle();
      await remove();
      await send("without bob");
      await fixture.work();
      await settle();
      await add();
      await send("back");
      await fixture.work();
      await settle();
      expect(reader.heard.slice(2)).toEqual([
        "102 after 1: 2, channelChange",
        "update CURRENT 3: channelChange",
        "live 3-4: hello",
        "103 after 102: 3",
        "104 after 103: 2",
        "update CURRENT 8: back",
      ]);
    });

    it("[G4] a caller hears of the deletion last; who missed it is told when it comes back", async () => {
      const { channelId, send, add, deleteGroup } = await setUp();
      const reader = await following();
      for (const step of [add, () => send("hello"), deleteGroup]) {
        await step();
        await fixture.work();
        await settle();
      }
      expect(reader.heard.slice(-2)).toEqual(["live 3-4: hello", "live 4-5: channelChange"]);
      const channels = [{ channelId, channelSequence: 3 }];
      const later = await following({ channels }, "another device");
      expect(later.heard.slice(2)).toEqual(["update DELETED 0: "]);
    });

    it("[S2] a caller that comes back gets what it lacks, then what comes", async () => {
      const { channelId, send, add } = await setUp();
      await add();
      await fixture.work();
      for (const text of ["1", "2", "3"]) await send(text);
      const channels = [{ channelId, channelSequence: 4 }];
      const reader = await following({ ...at(101), channels });
      await fixture.work();
      await send("4");
      await fixture.work();
      await settle();
      expect(reader.heard).toEqual([
        "started 101 UNSPECIFIED",
        "caughtUp 101",
        "update CURRENT 6: 2, 3",
        "live 6-7: 4",
      ]);
    });

    it("[R1] a caller that reads slowly is told what it lacks when it reads again", async () => {
      const { channelId, send, add } = await setUp();
      await add();
      await fixture.work();
      const reader = await following({ ...at(101), channels: [{ channelId, channelSequence: 3 }] });
      reader.isReading = false;
      const { streams } = fixture;
      for (let i = 0; i < 10; i++) {
        await send(`${i} ${"x".repeat(90_000)}`);
        const { entries } = await streams.log.read(channelId, { bytesMax: 1 << 30 });
        const [before, last] = entries.slice(-2);
        streams.publishLog(channelId, { ...last!, prevSequence: before!.sequence });
        await settle();
      }
      const before = reader.heard.length;
      reader.read();
      await settle();
      const texts = reader.heard.slice(3).flatMap((line) => line.split(": ")[1]!.split(", "));
      expect(texts.map((text) => text.slice(0, 1))).toEqual(
        Array.from({ length: 10 }, (_, i) => `${i}`),
      );
      expect(before).toBeLessThan(10);
    });

    it("[R2] one that can't be read now is asked for again", async () => {
      const { channelId, add } = await setUp();
      await add();
      await fixture.work();
      syncFails = true;
      const reader = await following({ ...at(101), channels: [{ channelId, channelSequence: 3 }] });
      syncFails = false;
      await fixture.pass(5_000);
      await settle();
      const updates = reader.heard.filter((line) => line.startsWith("update"));
      expect(updates).toEqual(["update UNAVAILABLE 0: ", "update CURRENT 3: "]);
    });

    it("are at most 1,000, each once", async () => {
      const channels = Array.from({ length: 1_001 }, (_, i) => ({ channelId: `g-${i}` }));
      for (const refused of [channels, [channels[0]!, channels[0]!]]) {
        const reader = await following({ channels: refused });
        expect(reader.error).toMatchObject({ reason: "FIELD_INVALID" });
      }
    });
  });

  it("carries entries as the streams hold them: both contracts have the same form", () => {
    const form = (message: DescMessage): unknown =>
      message.fields.map((field) => [
        field.name,
        field.number,
        field.fieldKind,
        field.message?.typeName === "parley.message.v1.Message" ||
          (field.message && form(field.message)),
      ]);
    expect(form(InboxEntrySchema)).toEqual(form(StoredEntrySchema));
    expect(form(ChannelDeliveriesSchema)).toEqual(form(FrameSchema));
  });
});
