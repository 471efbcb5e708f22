import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  type Cursor,
  type CursorMoved,
  errorReason,
  MessageService,
  type Typing,
} from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { Device, newAccount, newDevices } from "./device.ts";
import { GrpcCalls } from "./grpc-calls.ts";
import { RawClient } from "./raw-client.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let parley: ParleyUnderTest;
beforeAll(async () => {
  parley = await openParley();
});
afterAll(() => parley.stop());

/** What a device hears of cursors and of who is writing, from now on. */
function listen(device: Device) {
  const heard: { moved: CursorMoved[]; typing: Typing[]; unread: number[] } = {
    ...{ moved: [], typing: [], unread: [] },
  };
  device.client.on("cursorMoved", (moved) => heard.moved.push(moved));
  device.client.on("typing", (typing) => heard.typing.push(typing));
  device.client.on("unreadChanged", ({ unreadCount }) => heard.unread.push(unreadCount));
  return heard;
}

const soon = { timeout: 20_000 };
const cursorOf = async (device: Device, channelId: string, { userId }: Device) => {
  const { cursors } = await device.http(MessageService).listCursors({ channelId });
  return cursors.find((cursor) => cursor.userId === userId);
};
const unread = async (device: Device, channelId: string) => {
  const { channels, readStates } = await device.http(MessageService).listChannels({});
  return readStates[channels.findIndex((channel) => channel.channelId === channelId)]?.unreadCount;
};

describe("members' cursors", () => {
  it("[M8] what is received and read is seen by the other members, live and by asking", async () => {
    const [ann, ben, cem] = (await newDevices(parley.nextUrl, "ann", "ben", "cem")) as [
      Device,
      Device,
      Device,
    ];
    const channelId = await ann.createGroup([ben, cem]);
    const heard = listen(ann);
    const first = await ann.say(channelId, "one");
    const last = await ann.say(channelId, "two");
    for (const device of [ben, cem]) await device.hears(channelId, "two");
    const furthest = (user: Device, of: (cursor: Cursor) => bigint) =>
      heard.moved.reduce((greatest, { cursor }) => {
        return cursor.userId === user.userId && of(cursor) > greatest ? of(cursor) : greatest;
      }, 0n);
    await expect.poll(() => furthest(ben, (c) => c.deliveredMessageId), soon).toBe(last);
    await expect.poll(() => furthest(cem, (c) => c.deliveredMessageId), soon).toBe(last);
    expect(furthest(ben, (c) => c.readMessageId)).toBeLessThan(first);
    ben.client.reading.markRead(channelId, first);
    await expect.poll(() => furthest(ben, (c) => c.readMessageId), soon).toBe(first);
    cem.client.reading.markRead(channelId);
    await expect.poll(() => furthest(cem, (c) => c.readMessageId), soon).toBe(last);

    expect(await cursorOf(ben, channelId, ben)).toMatchObject({
      deliveredMessageId: last,
      readMessageId: first,
      readMessageNumber: 1,
    });
    expect(await cursorOf(ben, channelId, cem)).toMatchObject({ readMessageId: last });
    for (const device of [ann, ben, cem]) await device.client.close();
  });

  it("[M8] all devices of a user agree on what is unread, and a back-dated mark changes nothing", async () => {
    const [ann, phone] = (await newDevices(parley.nextUrl, "ann", "ben")) as [Device, Device];
    const channelId = await ann.openDirect(phone);
    const laptop = await phone.another(parley.nextUrl());
    const [onPhone, onLaptop] = [listen(phone), listen(laptop)];
    const ids: bigint[] = [];
    for (const text of ["1", "2", "3"]) ids.push(await ann.say(channelId, text));
    await laptop.hears(channelId, "3");
    await phone.hears(channelId, "3");
    await expect.poll(() => unread(phone, channelId), soon).toBe(3);
    phone.client.reading.markRead(channelId, ids[1]!);
    await expect.poll(() => onLaptop.moved.length, soon).toBeGreaterThan(0);
    await expect.poll(() => unread(laptop, channelId), soon).toBe(1);
    const { readState } = await laptop.calls.markRead({ channelId, messageId: ids[0]! });
    expect(readState).toMatchObject({ cursor: { readMessageId: ids[1] }, unreadCount: 1 });
    await phone.say(channelId, "an answer");
    await laptop.hears(channelId, "an answer");
    await expect.poll(() => unread(laptop, channelId), soon).toBe(0);
    await expect.poll(() => onPhone.unread.at(-1), soon).toBe(0);
    for (const device of [ann, phone, laptop]) await device.client.close();
  });

  it("[M8] who was away learns what is unread, and what others have read meanwhile", async () => {
    const [ann, ben] = (await newDevices(parley.nextUrl, "ann", "ben")) as [Device, Device];
    const channelId = await ann.openDirect(ben);
    const last = await ann.say(channelId, "one");
    await ben.hears(channelId, "one");
    await ann.client.close();
    ben.client.reading.markRead(channelId);
    await ben.say(channelId, "two");
    const back = await Device.connect(parley.nextUrl(), ann.signIn, ann.store);
    await back.hears(channelId, "two");
    await expect.poll(() => back.client.reading.unread(channelId), soon).toBe(1);
    const readByBen = async () => {
      const cursors = await back.client.reading.cursors(channelId);
      return cursors.find(({ userId }) => userId === ben.userId)!.readMessageId;
    };
    // A mark is on its way for a moment, and what a send marks until it is stored.
    await expect.poll(readByBen, soon).toBeGreaterThanOrEqual(last);
    const { channels } = await back.http(MessageService).listChangedCursors({});
    expect(channels).toMatchObject([{ channelId }]);
    for (const device of [back, ben]) await device.client.close();
  });

  it("[M8] [K4] over gRPC they are marked, listed and followed", async () => {
    const [ann, ben] = (await newDevices(parley.nextUrl, "ann", "ben")) as [Device, Device];
    const grpc = await GrpcCalls.open(parley, MessageService);
    const channelId = await ann.openDirect(ben);
    const messageId = await ann.say(channelId, "one");
    await ben.hears(channelId, "one");
    const over = new AbortController();
    const events = grpc.by(ann).follow({}, { signal: over.signal })[Symbol.asyncIterator]();
    const next = async (name: string) => {
      for (;;) {
        const { event } = (await events.next()).value;
        if (event.case === name) return event.value;
      }
    };
    await next("caughtUp");
    const { readState } = await grpc.by(ben).markRead({ channelId, messageId });
    expect(readState).toMatchObject({ unreadCount: 0, cursor: { readMessageId: messageId } });
    expect((await next("cursorsMoved")).channelId).toBe(channelId);
    await grpc.by(ben).sendTyping({ channelId });
    expect(await next("typing")).toMatchObject({ channelId, userId: ben.userId });
    const { cursors } = await grpc.by(ann).listCursors({ channelId });
    expect(cursors.map(({ userId }) => userId)).toContain(ben.userId);
    over.abort();
    grpc.close();
    for (const device of [ann, ben]) await device.client.close();
  });

  it("[M8] JSON frames carry marks and events as well", async () => {
    const [ann] = (await newDevices(parley.nextUrl, "ann")) as [Device];
    const ben = await newAccount(parley.nextUrl(), "ben");
    const { channel } = await ann.calls.createDirectChannel({ userId: ben.userId });
    const { channelId } = channel!;
    const messageId = `${await ann.say(channelId, "one")}`;
    const raw = await RawClient.signIn(parley.nextUrl(), ben.accessToken);
    const method = "parley.message.v1.MessageService/MarkRead";
    const event = raw.next("event");
    const { json } = await raw.call(method, { channelId, messageId });
    expect(JSON.parse(json as string)).toMatchObject({
      readState: { channelId, cursor: { userId: ben.userId, readMessageId: messageId } },
    });
    expect(await event).toMatchObject({
      cursorsMoved: { channelId, cursors: [{ userId: ben.userId, readMessageId: messageId }] },
    });
    await ann.calls.sendTyping({ channelId });
    expect(await raw.next("event")).toEqual({ typing: { channelId, userId: ann.userId } });
    raw.ws.close();
    await ann.client.close();
  });
});

describe("who is writing", () => {
  it("[M8] is heard by the other members alone, and only while they are members", async () => {
    const [ann, ben, cem] = (await newDevices(parley.nextUrl, "ann", "ben", "cem")) as [
      Device,
      Device,
      Device,
    ];
    const channelId = await ann.createGroup([ben, cem]);
    await cem.until(({ messages }) => messages.length > 0);
    await cem.calls.leaveGroup({
      channelId,
      clientMessageId: cem.client.newClientMessageId(),
    });
    const [onAnn, onBen, onCem] = [listen(ann), listen(ben), listen(cem)];
    ben.client.reading.sendTyping(channelId);
    await expect.poll(() => onAnn.typing, soon).toMatchObject([{ channelId, userId: ben.userId }]);
    expect(onBen.typing).toEqual([]);
    expect(onCem.typing).toEqual([]);
    const overHttp = cem.http(MessageService);
    for (const call of [
      () => cem.calls.sendTyping({ channelId }),
      () => overHttp.listCursors({ channelId }),
    ]) {
      expect(errorReason(await call().catch((error: unknown) => error))).toBe("NOT_A_MEMBER");
    }
    for (const device of [ann, ben, cem]) await device.client.close();
  });
});
