import { fromBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { type Event, EventSchema } from "../../../gen/parley/edge/v1/frame_pb.js";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { MessageFixture, type MessageInstance } from "../message-fixture.ts";
import { moveIntervalMs } from "./cursor-moves.ts";
import { typingIntervalMs } from "./typing.ts";

const method = MessageService.method;

describe("members' cursors", () => {
  let fixture: MessageFixture;
  let instance: MessageInstance;
  let channelId: string;
  beforeEach(async () => {
    fixture = new MessageFixture();
    instance = fixture.instance();
    const group = { name: "g", public: true, userIds: ["bob", "cid"] };
    const request = { ...group, clientMessageId: fixture.clientId() };
    channelId = (await instance.call("ann", method.createGroup, request)).channel!.channelId;
  });

  const say = async (userId: string, text = "hi") => {
    const request = { channelId, clientMessageId: fixture.clientId(), text };
    return (await instance.call(userId, method.sendMessage, request)).messageId;
  };
  /** What takes a write's interval takes no time here. */
  const afterMove = async <T>(answer: Promise<T>): Promise<T> => {
    answer.catch(() => {});
    for (let i = 0; i < 4; i++) await fixture.pass(moveIntervalMs);
    return answer;
  };
  const markRead = async (userId: string, messageId: bigint) =>
    (await afterMove(instance.call(userId, method.markRead, { channelId, messageId }))).readState!;
  const markDelivered = (userId: string, messageId: bigint) =>
    afterMove(
      instance.call(userId, method.markDelivered, {
        cursor: { inboxEpoch: "e1", inboxSequence: 1n },
        channels: [{ channelId, messageId }],
      }),
    );
  const unread = async (userId: string) =>
    (await instance.call(userId, method.getChannel, { channelId })).readState!.unreadCount;
  const listedUnread = async (userId: string) => {
    const { channels, readStates } = await instance.call(userId, method.listChannels, {});
    expect(readStates.map((state) => state.channelId)).toEqual(channels.map((c) => c.channelId));
    return readStates.map(({ unreadCount }) => unreadCount);
  };
  const cursors = async (userId: string) =>
    (await instance.call(userId, method.listCursors, { channelId })).cursors;
  const hear = async (userId: string) => {
    const events: Event["event"][] = [];
    await fixture.streams.subscribeInbox(userId, ({ sequence, data }) => {
      if (sequence === 0) events.push(fromBinary(EventSchema, data).event);
    });
    return events;
  };

  it("[M8] texts are numbered, and nothing else is", async () => {
    await say("ann");
    const join = { channelId, clientMessageId: fixture.clientId() };
    await instance.call("dan", method.joinGroup, join);
    await say("bob");
    const { messages } = await instance.call("ann", method.listMessages, { channelId });
    expect(messages.map(({ messageNumber }) => messageNumber).reverse()).toEqual([0, 1, 1, 2]);
    const { channel } = await instance.call("ann", method.getChannel, { channelId });
    expect(channel?.messageCount).toBe(2);
  });

  it("[M8] what others send is unread until it is marked, whichever way one asks", async () => {
    const ids = [await say("ann"), await say("ann"), await say("ann")];
    expect(await unread("bob")).toBe(3);
    expect(await markRead("bob", ids[1]!)).toMatchObject({
      cursor: { userId: "bob", readMessageId: ids[1], readMessageNumber: 2 },
      unreadCount: 1,
    });
    await fixture.work();
    expect(await unread("bob")).toBe(1);
    expect(await listedUnread("bob")).toEqual([1]);
    expect(await listedUnread("cid")).toEqual([3]);
  });

  it("[M8] a member's own text moves the member's cursor", async () => {
    await say("ann");
    const own = await say("bob");
    expect(await unread("bob")).toBe(0);
    await fixture.work();
    expect(await listedUnread("bob")).toEqual([0]);
    expect(await cursors("ann")).toContainEqual(
      expect.objectContaining({ userId: "bob", readMessageId: own, deliveredMessageId: own }),
    );
  });

  it("[M8] who joins has nothing unread, and what comes after is", async () => {
    await say("ann");
    const join = { channelId, clientMessageId: fixture.clientId() };
    await instance.call("dan", method.joinGroup, join);
    expect(await unread("dan")).toBe(0);
    await fixture.work();
    expect(await listedUnread("dan")).toEqual([0]);
    await say("ann");
    expect(await unread("dan")).toBe(1);
    await fixture.work();
    expect(await listedUnread("dan")).toEqual([1]);
  });

  it("[M8] cursors move only forward, whatever is marked in whatever order", async () => {
    const ids: bigint[] = [];
    for (let i = 0; i < 6; i++) ids.push(await say("ann"));
    let furthest = 0;
    const step = fc.record({ at: fc.nat(5), offset: fc.constantFrom(-1n, 0n, 1n) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 3 }), async (steps) => {
        for (const { at, offset } of steps) {
          const marked = ids[at]! + offset;
          const { cursor, unreadCount } = await markRead("bob", marked);
          furthest = Math.max(furthest, ids.filter((id) => id <= marked).length);
          expect(cursor!.readMessageNumber).toBe(furthest);
          expect(unreadCount).toBe(6 - furthest);
        }
      }),
      { numRuns: 20 },
    );
  });

  it("[M8] an id beyond the newest message stands for that", async () => {
    const last = await say("ann");
    const { cursor } = await markRead("bob", 2n ** 62n);
    expect(cursor).toMatchObject({ readMessageId: last, readMessageNumber: 1 });
  });

  it("[M8] members are told of moves, and of many at one time once", async () => {
    const first = await say("ann");
    const last = await say("ann");
    const [ann, bob, stranger] = [await hear("ann"), await hear("bob"), await hear("eve")];
    await Promise.all([markRead("bob", first), markRead("bob", last), markDelivered("cid", last)]);
    const told = ann.flatMap((event) => (event.case === "cursorsMoved" ? [event.value] : []));
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ channelId });
    const moved = told[0]!.cursors.toSorted((a, b) => (a.userId < b.userId ? -1 : 1));
    expect(moved).toMatchObject([
      { userId: "bob", readMessageId: last, deliveredMessageId: last },
      { userId: "cid", readMessageId: 0n, deliveredMessageId: last },
    ]);
    expect(bob).toEqual(ann);
    expect(stranger).toEqual([]);
  });

  it("[M8] what has been marked before is neither stored nor told again", async () => {
    const last = await say("ann");
    await markRead("bob", last);
    const ann = await hear("ann");
    await markRead("bob", last);
    expect(ann).toEqual([]);
  });

  it("[M8] cursors are told to members alone, and only members move them", async () => {
    const last = await say("ann");
    for (const [name, request] of [
      [method.markRead, { channelId, messageId: last }],
      [method.listCursors, { channelId }],
      [method.sendTyping, { channelId }],
    ] as const) {
      await expect(instance.call("eve", name, request as never)).rejects.toMatchObject({
        reason: "NOT_A_MEMBER",
      });
    }
    await markDelivered("eve", last);
    expect(await fixture.store.getMemberCursors("eve", [channelId])).toEqual([]);
  });

  it("[M8] a member who was removed is neither listed nor told", async () => {
    const last = await say("ann");
    await markRead("cid", last);
    const remove = { channelId, userId: "cid", clientMessageId: fixture.clientId() };
    await instance.call("ann", method.removeMember, remove);
    const cid = await hear("cid");
    await markRead("bob", last);
    expect(cid).toEqual([]);
    expect((await cursors("ann")).map(({ userId }) => userId)).toEqual(["bob"]);
  });

  it("[M8] a device that was away asks for what has moved since", async () => {
    const first = await say("ann");
    await markRead("cid", first);
    await fixture.work();
    await fixture.pass(60_000);
    const minTime = timestampFromMs(fixture.clock.nowMs());
    await fixture.pass(1_000);
    const last = await say("ann");
    await markRead("bob", last);
    const ask = async (request: object) =>
      (await instance.call("ann", method.listChangedCursors, request)).channels;
    expect(await ask({ minTime })).toMatchObject([
      { channelId, cursors: [{ userId: "bob", readMessageId: last }] },
    ]);
    const all = (await ask({}))[0]!.cursors.map(({ userId }) => userId);
    expect(all).toEqual(["ann", "bob", "cid"]);
    expect(await instance.call("eve", method.listChangedCursors, {})).toMatchObject({
      channels: [],
      nextPageToken: "",
    });
  });

  it("[M8] [G3] in a LIVE channel a cursor is its owner's alone, and only the read one is kept", async () => {
    const userIds = Array.from({ length: 99 }, (_, i) => `u${i}`);
    for (const some of [userIds.slice(0, 97), userIds.slice(97)]) {
      const add = { channelId, userIds: some, clientMessageId: fixture.clientId() };
      await instance.call("ann", method.addMembers, add);
    }
    const last = await say("ann");
    await fixture.work();
    const [ann, bob] = [await hear("ann"), await hear("bob")];
    await markDelivered("bob", last);
    await markRead("cid", last);
    expect(await markRead("bob", last)).toMatchObject({ unreadCount: 0 });
    await instance.call("bob", method.sendTyping, { channelId });
    expect(ann).toEqual([]);
    expect(bob).toMatchObject([
      { case: "cursorsMoved", value: { channelId, cursors: [{ userId: "bob" }] } },
    ]);
    expect((await cursors("bob")).map(({ userId }) => userId)).toEqual(["bob"]);
    const { channels } = await instance.call("bob", method.listChangedCursors, {});
    expect(channels).toMatchObject([{ channelId, cursors: [{ userId: "bob" }] }]);
    expect(await unread("u98")).toBe(1);
    expect(await listedUnread("u98")).toEqual([1]);
  });

  it("[M8] [R2] while the store is away nothing is marked, and channels are read without", async () => {
    const last = await say("ann");
    fixture.storeFaults.next("writeLost");
    await expect(markRead("bob", last)).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    fixture.storeFaults.next("readFails");
    const answer = await instance.call("bob", method.getChannel, { channelId });
    expect(answer).toMatchObject({ channel: { channelId } });
    expect(answer.readState).toBeUndefined();
  });

  it("[R1] what devices say of channels that nobody knows takes a limited number of reads", async () => {
    let reads = 0;
    vi.spyOn(fixture.writing.log, "last").mockImplementation(() => {
      reads++;
      return new Promise(() => {});
    });
    const messageId = await say("ann");
    const bob = { inboxEpoch: "e1", inboxSequence: 1n };
    const refused: unknown[] = [];
    for (let i = 0; i < 5_000; i++) {
      const channels = [{ channelId: `d-bob-x${i}`, messageId }];
      const marking = instance.call("bob", method.markDelivered, { cursor: bob, channels });
      marking.catch((error) => refused.push(error));
    }
    await fixture.pass(0);
    expect(reads).toBe(64);
    expect(refused).toHaveLength(5_000 - 64 - 4_096);
    expect(refused[0]).toMatchObject({ reason: "OVERLOADED" });
    await markDelivered("cid", messageId);
    expect(await cursors("ann")).toContainEqual(expect.objectContaining({ userId: "cid" }));
  });

  it("refuses ids that are none", async () => {
    await expect(
      instance.call("ann", method.markRead, { channelId, messageId: 0n }),
    ).rejects.toMatchObject({ reason: "FIELD_INVALID" });
    await expect(
      instance.call("ann", method.listCursors, { channelId, pageToken: "Pz8" }),
    ).rejects.toMatchObject({ reason: "FIELD_INVALID" });
  });

  it("[M8] the other members hear that one is writing, a device's at most once a second", async () => {
    const [ann, bob] = [await hear("ann"), await hear("bob")];
    const type = () => instance.call("bob", method.sendTyping, { channelId });
    await type();
    await type();
    expect(ann).toMatchObject([{ case: "typing", value: { channelId, userId: "bob" } }]);
    await fixture.pass(typingIntervalMs);
    await type();
    expect(ann).toHaveLength(2);
    expect(bob).toEqual([]);
  });
});
