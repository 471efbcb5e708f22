import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { MessageOrder, MessageService } from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { Device, newDevices } from "./device.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let parley: ParleyUnderTest;
beforeAll(async () => {
  parley = await openParley({ edge: { PARLEY_EDGE_ACK_INTERVAL_MS: "100" } });
});
afterAll(() => parley.stop());

/** The texts of a channel's whole history. */
async function historyTexts(device: Device, channelId: string): Promise<string[]> {
  const texts: string[] = [];
  for (let pageToken = ""; ; ) {
    const request = { channelId, pageToken, pageSize: 200, order: MessageOrder.OLDEST_FIRST };
    const page = await device.http(MessageService).listMessages(request);
    for (const { body } of page.messages) if (body.case === "text") texts.push(body.value);
    if (page.nextPageToken === "") return texts;
    pageToken = page.nextPageToken;
  }
}

/** Sends texts one after the other, each when the one before is acknowledged. */
async function sayAll(device: Device, channelId: string, name: string, count: number) {
  for (let n = 1; n <= count; n++) await device.say(channelId, `${name} ${n}`);
}

describe("several devices of one account", () => {
  it("[S1] [S2] end with the same histories, one of them back after 1,000 messages, in the midst of others", async () => {
    const [ben, phone] = (await newDevices(parley.nextUrl, "ben", "ann")) as [Device, Device];
    const laptop = await phone.another(parley.nextUrl());
    const tablet = await phone.another(parley.nextUrl());
    const channels = [await phone.openDirect(ben), await ben.createGroup([phone])];
    for (const channelId of channels) {
      await ben.say(channelId, "before");
      await tablet.hears(channelId, "before");
    }
    await tablet.client.close();

    const everybodyTalks = (count: number) =>
      channels.flatMap((channelId) => [
        sayAll(ben, channelId, "ben", count),
        sayAll(phone, channelId, "phone", count),
        sayAll(laptop, channelId, "laptop", count),
      ]);
    await Promise.all(everybodyTalks(170));
    const talk = Promise.all(everybodyTalks(30));
    const back = await Device.connect(parley.nextUrl(), tablet.signIn, tablet.store);
    await talk;

    for (const channelId of channels) {
      const history = await historyTexts(ben, channelId);
      expect(history).toHaveLength(1 + 3 * 200);
      const last = history.at(-1)!;
      for (const device of [ben, phone, laptop, back]) await device.hears(channelId, last);
      for (const device of [ben, phone, laptop]) expect(device.texts(channelId)).toEqual(history);
      expect([...tablet.texts(channelId), ...back.texts(channelId)]).toEqual(history);
    }
    expect(back.events).toEqual(["caughtUp"]);
    expect(back.baselines).toEqual([]);
    for (const device of [ben, phone, laptop, back]) await device.client.close();
  });

  it("[S1] a new device is told where its messages begin, and each one from there on", async () => {
    const [ben, phone] = (await newDevices(parley.nextUrl, "ben", "ann")) as [Device, Device];
    const channelId = await ben.openDirect(phone);
    for (const text of ["one", "two"]) await ben.say(channelId, text);
    await phone.hears(channelId, "two");
    const laptop = await phone.another(parley.nextUrl());
    await laptop.until(({ baselines }) => baselines.length > 0);
    const [baseline] = laptop.baselines;
    await phone.say(channelId, "three");
    await laptop.hears(channelId, "three");
    const { messages } = await laptop.http(MessageService).listMessages({ channelId });
    const fromThere = messages.filter(({ messageId }) => messageId > baseline!.messageId);
    expect(laptop.told(channelId)).toEqual(fromThere.reverse());
    expect(await historyTexts(laptop, channelId)).toEqual(["one", "two", "three"]);
    for (const device of [ben, phone, laptop]) await device.client.close();
  });

  it("[S1] each device has its own cursor", async () => {
    const [ben, phone] = (await newDevices(parley.nextUrl, "ben", "ann")) as [Device, Device];
    const laptop = await phone.another(parley.nextUrl());
    const channelId = await ben.openDirect(phone);
    const first = await ben.say(channelId, "first");
    await laptop.hears(channelId, "first");
    const cursor = async (device: Device) =>
      (await device.http(MessageService).getDeviceCursor({})).cursor?.curMaxMessageId;
    await expect.poll(() => cursor(laptop), { timeout: 15_000 }).toBe(first);
    await laptop.client.close();
    const second = await ben.say(channelId, "second");
    await expect.poll(() => cursor(phone), { timeout: 15_000 }).toBe(second);
    expect(await cursor(laptop)).toBe(first);
    for (const device of [ben, phone]) await device.client.close();
  });
});
