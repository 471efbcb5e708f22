import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { beforeEach, describe, expect, it } from "vitest";
import { EventSchema } from "../../gen/parley/edge/v1/frame_pb.js";
import {
  MembershipChange_Kind as ChangeKind,
  MessageSchema,
} from "../../gen/parley/message/v1/message_pb.js";
import { ListChannelsResponseSchema } from "../../gen/parley/message/v1/message_service_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { settled } from "./client-fixture.ts";
import { MemoryClientStore } from "./client-store.ts";
import { DeviceState } from "./device-state.ts";
import { Events, type ParleyEvents } from "./events.ts";
import { Reading } from "./reading.ts";

const channelId = "g-1";
const me = "ann";

describe("Reading", () => {
  let clock: ManualClock;
  let events: Events<ParleyEvents>;
  let store: MemoryClientStore;
  let over: AbortController;
  let online: boolean;
  /** What the service was asked: "markRead 7". */
  let asked: string[];
  let refusal: ConnectError | undefined;
  let unread: number[];
  let reading: Reading;

  const call =
    <Request>(name: string, what: (request: Request) => unknown, answer: object = {}) =>
    async (request: Request) => {
      asked.push(`${name} ${what(request)}`);
      if (refusal) throw refusal;
      return answer;
    };
  const open = async () => {
    const state = await DeviceState.load(store, me, () => {});
    const messages = {
      markRead: call("markRead", ({ messageId }: { messageId: bigint }) => messageId),
      sendTyping: call("sendTyping", (request: { channelId: string }) => request.channelId),
      listChangedCursors: call("listChangedCursors", ({ pageToken }: never) => pageToken, {
        channels: [{ channelId, cursors: [{ userId: "bob", readMessageId: 5n }] }],
        nextPageToken: "",
      }),
    };
    over = new AbortController();
    const opened = new Reading({
      ...{ userId: me, state, events, timers: clock, random: () => 0.5, signal: over.signal },
      messages: messages as never,
      connected: async (signal) => {
        while (!online) await settled();
        signal.throwIfAborted();
      },
      serverNowMs: () => clock.nowMs(),
    });
    return { opened, state };
  };
  beforeEach(async () => {
    clock = new ManualClock();
    events = new Events();
    store = new MemoryClientStore();
    asked = [];
    refusal = undefined;
    online = true;
    unread = [];
    events.on("unreadChanged", ({ unreadCount }) => unread.push(unreadCount));
    reading = (await open()).opened;
    return () => over.abort();
  });

  const say = (messageId: bigint, messageNumber: number, senderId = "bob") => {
    const body = { case: "text", value: "hi" } as const;
    const message = { channelId, messageId, messageNumber, senderId, body };
    reading.onMessage(create(MessageSchema, message));
  };
  const list = (messageCount: number, readMessageId: bigint, readMessageNumber: number) =>
    reading.onListed(
      create(ListChannelsResponseSchema, {
        channels: [{ channelId, messageCount }],
        readStates: [{ channelId, cursor: { userId: me, readMessageId, readMessageNumber } }],
      }),
    );
  const hear = (event: MessageInitShape<typeof EventSchema>["event"]) =>
    reading.onEvent(create(EventSchema, { event: event! }));
  const second = async () => {
    clock.advance(1_000);
    await settled();
  };

  it("[M8] counts what others have sent since the user's cursor", () => {
    say(10n, 4);
    expect(reading.unread(channelId)).toBeUndefined();
    list(3, 7n, 2);
    say(11n, 5);
    say(12n, 6, me);
    say(13n, 7);
    expect(unread).toEqual([2, 3, 0, 1]);
    expect(reading.unread(channelId)).toBe(1);
  });

  it("[M8] counts from the user's joining where that is seen", () => {
    const value = { kind: ChangeKind.ADDED, userIds: [me] };
    const body = { case: "membershipChange", value } as const;
    const joining = { channelId, messageId: 9n, messageNumber: 4, senderId: "bob", body };
    reading.onMessage(create(MessageSchema, joining));
    say(10n, 5);
    expect(unread).toEqual([0, 1]);
  });

  it("[M8] marks at once, then the newest once a second", async () => {
    list(0, 0n, 0);
    for (const id of [1, 2, 3]) say(BigInt(id), id);
    reading.markRead(channelId, 1n);
    await settled();
    reading.markRead(channelId, 2n);
    reading.markRead(channelId);
    reading.markRead(channelId, 2n);
    expect(reading.unread(channelId)).toBe(0);
    await settled();
    expect(asked).toEqual(["markRead 1"]);
    await second();
    expect(asked).toEqual(["markRead 1", "markRead 3"]);
    await second();
    await second();
    expect(asked).toHaveLength(2);
  });

  it("[M8] tells what was read offline at the next start", async () => {
    online = false;
    say(3n, 3);
    reading.markRead(channelId);
    await settled();
    over.abort();
    online = true;
    const { state } = await open();
    await settled();
    expect(asked).toEqual(["markRead 3"]);
    await state.flush();
    expect([...(await store.readAll())].map(([key]) => key)).toEqual(["user"]);
  });

  it("[M8] tries again what fails, and gives up what is refused", async () => {
    refusal = new ConnectError("away", Code.Unavailable);
    say(3n, 3);
    reading.markRead(channelId);
    await settled();
    await second();
    expect(asked).toEqual(["markRead 3", "markRead 3"]);
    refusal = new ConnectError("no member", Code.PermissionDenied);
    for (let i = 0; i < 10; i++) await second();
    expect(asked).toHaveLength(3);
  });

  it("[M8] tells of cursors and who is writing, and follows the user's own", () => {
    const told: unknown[] = [];
    events.on("typing", (typing) => told.push(typing));
    events.on("cursorMoved", ({ cursor }) => told.push(cursor));
    list(3, 0n, 0);
    const value = { channelId, userId: "bob" };
    hear({ case: "typing", value });
    const cursor = { userId: me, readMessageId: 2n, readMessageNumber: 2 };
    hear({ case: "cursorsMoved", value: { channelId, cursors: [cursor] } });
    expect(told).toMatchObject([value, cursor]);
    expect(unread).toEqual([3, 1]);
  });

  it("[M8] asks after a reconnection for what has moved meanwhile", async () => {
    const moved: string[] = [];
    reading.onCaughtUp();
    reading.onLost();
    reading.onCaughtUp();
    await settled();
    expect(asked).toEqual([]);
    events.on("cursorMoved", ({ cursor }) => moved.push(cursor.userId));
    reading.onLost();
    reading.onCaughtUp();
    await settled();
    expect(asked).toEqual(["listChangedCursors "]);
    expect(moved).toEqual(["bob"]);
  });

  it("[M8] tells of writing once in 3 s", async () => {
    for (let i = 0; i < 4; i++) {
      reading.sendTyping(channelId);
      await second();
    }
    expect(asked).toEqual([`sendTyping ${channelId}`, `sendTyping ${channelId}`]);
  });
});
