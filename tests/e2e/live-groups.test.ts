import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  DeliveryMode,
  errorReason,
  MessageKind,
  MessageOrder,
  MessageService,
  type SignIn,
} from "../../edge/sdk/index.ts";
import type { FollowResponse } from "../../gen/parley/message/v1/message_service_pb.js";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { Device, newAccount, newDevices } from "./device.ts";
import { GrpcCalls } from "./grpc-calls.ts";

// A hundred accounts take their time on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let parley: ParleyUnderTest;
/** Users who fill groups, without a device that is connected. */
let others: SignIn[];
beforeAll(async () => {
  parley = await openParley();
  others = await Promise.all(Array.from({ length: 110 }, () => newAccount(parley.nextUrl())));
});
afterAll(() => parley.stop());

/** A public group of these devices and as many others as make it `size`. */
async function createGroup(devices: readonly Device[], size: number) {
  const [owner, ...members] = devices;
  const { channel } = await owner!.calls.createGroup({
    clientMessageId: owner!.client.newClientMessageId(),
    name: "large",
    userIds: [...members, ...others.slice(0, size - devices.length)].map(({ userId }) => userId),
    public: true,
  });
  return channel!.channelId;
}

/** Makes a group LIVE. */
async function grow(owner: Device, channelId: string, size: number): Promise<void> {
  const userIds = others.slice(-(101 - size)).map(({ userId }) => userId);
  const clientMessageId = owner.client.newClientMessageId();
  const { channel } = await owner.calls.addMembers({ channelId, clientMessageId, userIds });
  expect(channel).toMatchObject({ mode: DeliveryMode.LIVE, memberCount: 101 });
}

async function history(device: Device, channelId: string): Promise<string[]> {
  const texts: string[] = [];
  const where = { channelId, kind: MessageKind.TEXT, order: MessageOrder.OLDEST_FIRST };
  for (let pageToken = "", more = true; more; more = pageToken !== "") {
    const request = { ...where, pageSize: 200, pageToken };
    const page = await device.http(MessageService).listMessages(request);
    texts.push(...page.messages.map(({ body }) => String(body.value)));
    pageToken = page.nextPageToken;
  }
  return texts;
}

describe("[G3] a large group", () => {
  it("grows past 100 while messages flow, and everybody has all of them in the order of the history", async () => {
    const devices = await newDevices(parley.nextUrl, "ann", "ben", "cleo", "dan");
    const [ann, ben, cleo, dan] = devices as [Device, Device, Device, Device];
    const channelId = await createGroup([ann, ben, cleo, dan], 98);
    let isGrowing = true;
    let sent = 0;
    const talk = async (device: Device) => {
      for (let n = 0; isGrowing || n < 20; n++, sent++) {
        await device.say(channelId, `${device.signIn.username} ${n}`);
      }
    };
    const talking = [ann, ben, cleo].map(talk);
    for (const { userId } of others.slice(-6)) {
      const clientMessageId = ann.client.newClientMessageId();
      await ann.calls.addMembers({ channelId, clientMessageId, userIds: [userId] });
    }
    isGrowing = false;
    await Promise.all(talking);
    await ann.say(channelId, "the end");
    for (const device of devices) await device.hears(channelId, "the end");
    const expected = await history(dan, channelId);
    expect(expected).toHaveLength(sent + 1);
    for (const device of devices) expect(device.texts(channelId)).toEqual(expected);
    expect(dan.client.channel(channelId)).toMatchObject({
      mode: DeliveryMode.LIVE,
      memberCount: 104,
    });
    for (const device of devices) await device[Symbol.asyncDispose]();
  });

  it("[S1] [S2] reaches all devices of a member, and those that were away when they return", async () => {
    const [ann, ben] = (await newDevices(parley.nextUrl, "ann", "ben")) as [Device, Device];
    const channelId = await createGroup([ann, ben], 100);
    await grow(ann, channelId, 100);
    const further = await ben.another();
    await ann.say(channelId, "1");
    for (const device of [ann, ben, further]) await device.hears(channelId, "1");
    await ben.client.close();
    await ann.say(channelId, "2");
    await ann.say(channelId, "3");
    const back = await Device.connect(parley.nextUrl(), ben.signIn, ben.store);
    await ann.say(channelId, "4");
    for (const device of [back, further]) await device.hears(channelId, "4");
    expect(back.texts(channelId)).toEqual(["2", "3", "4"]);
    expect(further.texts(channelId)).toEqual(["1", "2", "3", "4"]);
    for (const device of [ann, back, further]) await device[Symbol.asyncDispose]();
  });

  it("[M9] [S4] has texts that change, for who is there and for who returns", async () => {
    const [ann, ben, cem] = (await newDevices(parley.nextUrl, "ann", "ben", "cem")) as [
      Device,
      Device,
      Device,
    ];
    const channelId = await createGroup([ann, ben, cem], 100);
    await grow(ann, channelId, 100);
    const first = await ann.say(channelId, "first");
    const second = await ann.say(channelId, "second");
    const third = await ben.say(channelId, "third");
    for (const device of [ben, cem]) await device.hears(channelId, "third");
    await cem.client.close();
    await ann.client.edit(channelId, first, `thanks @${cem.signIn.username}`);
    await ben.client.react(channelId, first, "👍");
    await ann.client.delete(channelId, third);
    await ben.client.send(channelId, "answer", { replyToMessageId: second }).result;
    const back = await Device.connect(parley.nextUrl(), cem.signIn, cem.store);
    await back.hears(channelId, "answer");
    await back.client.edit(channelId, await back.say(channelId, "back"), "really back");
    const expected = [
      {
        ...{ messageId: first, mentionedUserIds: [cem.userId] },
        ...{ body: { value: `thanks @${cem.signIn.username}` }, reactions: [{ emoji: "👍" }] },
      },
      { messageId: second, body: { value: "second" } },
      { messageId: third, body: { case: undefined } },
      { body: { value: "answer" }, replyToMessageId: second },
      { body: { value: "really back" } },
    ];
    for (const device of [ann, ben, back]) {
      await vi.waitFor(
        async () => {
          const request = { channelId, pageSize: 5, order: MessageOrder.NEWEST_FIRST };
          const { messages } = await device.http(MessageService).listMessages(request);
          expect(messages.reverse()).toMatchObject(expected);
          expect(device.client.recent(channelId).slice(-5)).toEqual(messages);
        },
        { timeout: 10_000 },
      );
    }
    for (const device of [ann, ben, back]) await device[Symbol.asyncDispose]();
  });

  it("[G4] is heard again by who leaves it and comes back, also where it turned large meanwhile", async () => {
    const [ann, ben] = (await newDevices(parley.nextUrl, "ann", "ben")) as [Device, Device];
    const channelId = await createGroup([ann, ben], 99);
    const ids = (device: Device) => ({
      channelId,
      clientMessageId: device.client.newClientMessageId(),
    });
    const beAway = async (meanwhile: () => Promise<unknown>) => {
      await ben.calls.leaveGroup(ids(ben));
      await meanwhile();
      await ann.calls.addMembers({ ...ids(ann), userIds: [ben.userId] });
    };
    await beAway(async () => {
      await grow(ann, channelId, 98);
      await ann.calls.renameGroup({ ...ids(ann), name: "larger" });
    });
    await ann.say(channelId, "1");
    await ben.hears(channelId, "1");
    await vi.waitFor(() => {
      expect(ben.client.channel(channelId)).toMatchObject({ name: "larger", memberCount: 102 });
    });
    await beAway(() => ann.say(channelId, "without ben"));
    await ann.say(channelId, "2");
    await ben.hears(channelId, "2");
    expect(ben.texts(channelId)).toEqual(["1", "2"]);
    for (const device of [ann, ben]) await device[Symbol.asyncDispose]();
  });

  it("[G1] [G4] ends for every device with its deletion, also for one that was away", async () => {
    const devices = await newDevices(parley.nextUrl, "ann", "ben", "cem");
    const [ann, ben, cem] = devices as [Device, Device, Device];
    const channelId = await createGroup(devices, 100);
    await grow(ann, channelId, 100);
    await ann.say(channelId, "hello");
    for (const device of devices) {
      await device.hears(channelId, "hello");
      await vi.waitFor(() => expect(device.client.channel(channelId)).toBeDefined());
    }
    await cem.client.close();
    await ben.say(channelId, "bye");
    const clientMessageId = ann.client.newClientMessageId();
    await ann.calls.deleteChannel({ channelId, clientMessageId });
    for (const device of [ann, ben]) {
      await device.until(() => device.told(channelId).at(-1)?.body.case === "channelChange");
      expect(device.texts(channelId)).toEqual(["hello", "bye"]);
      expect(device.client.channel(channelId)?.deleteTime).toBeDefined();
    }
    const back = await Device.connect(parley.nextUrl(), cem.signIn, cem.store);
    for (const device of [ann, ben, back]) {
      await vi.waitFor(
        () => expect(device.client.knownChannels).toMatchObject([{ channelId, member: false }]),
        { timeout: 10_000 },
      );
      const sending = device.say(channelId, "late").then(() => "sent", errorReason);
      expect(await sending).toBe("CHANNEL_DELETED");
    }
    expect(back.texts(channelId)).toEqual([]);
    for (const device of [ann, ben, back]) await device[Symbol.asyncDispose]();
  });

  it("[K4] reaches who follows over gRPC, from where it turned large", async () => {
    const [ann, ben] = (await newDevices(parley.nextUrl, "ann", "ben")) as [Device, Device];
    const grpc = await GrpcCalls.open(parley, MessageService);
    const channelId = await createGroup([ann, ben], 100);
    const over = new AbortController();
    const following: AsyncIterable<FollowResponse> = grpc.by(ben).follow({}, over);
    const events = following[Symbol.asyncIterator]();
    for (let isCaughtUp = false; !isCaughtUp; ) {
      isCaughtUp = (await events.next()).value?.event.case === "caughtUp";
    }
    await grow(ann, channelId, 100);
    const texts = ["1", "2", "3"];
    for (const text of texts) await ann.say(channelId, text);
    const heard: string[] = [];
    while (heard.length < texts.length) {
      const { event }: FollowResponse = (await events.next()).value;
      const messages =
        event.case === "channelUpdates"
          ? event.value.updates.flatMap((update) => update.messages)
          : event.case === "channelDeliveries"
            ? event.value.items.flatMap(({ item }) => (item.case === "message" ? item.value : []))
            : [];
      heard.push(...messages.flatMap(({ body }) => (body.case === "text" ? body.value : [])));
    }
    expect(heard).toEqual(texts);
    over.abort();
    grpc.close();
    for (const device of [ann, ben]) await device[Symbol.asyncDispose]();
  });

  it("[G4] gives who joins what is sent from then on, and who is removed nothing more", async () => {
    const [ann, ben, eve] = (await newDevices(parley.nextUrl, "ann", "ben", "eve")) as [
      Device,
      Device,
      Device,
    ];
    const channelId = await createGroup([ann, ben], 100);
    await grow(ann, channelId, 100);
    await ann.say(channelId, "before");
    await eve.calls.joinGroup({ channelId, clientMessageId: eve.client.newClientMessageId() });
    await ann.say(channelId, "with eve");
    await eve.hears(channelId, "with eve");
    const clientMessageId = ann.client.newClientMessageId();
    await ann.calls.removeMember({ channelId, clientMessageId, userId: eve.userId });
    await ann.say(channelId, "without eve");
    await ben.hears(channelId, "without eve");
    // A round trip behind what was sent.
    const direct = await ann.openDirect(eve);
    await ann.say(direct, "goodbye");
    await eve.hears(direct, "goodbye");
    expect(eve.texts(channelId)).toEqual(["with eve"]);
    expect(await history(eve, channelId)).toEqual(["with eve"]);
    const positions = [{ channelId, channelSequence: 0 }];
    const { updates } = await eve.calls.syncChannels({ positions });
    expect(
      updates[0]!.messages.flatMap(({ body }) => (body.case === "text" ? body.value : [])),
    ).toEqual(["with eve"]);
    const send = eve.client.send(channelId, "still here?").result;
    expect(await send.then(() => "accepted", errorReason)).toBe("NOT_A_MEMBER");
    for (const device of [ann, ben, eve]) await device[Symbol.asyncDispose]();
  });
});
