import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { HttpProxy } from "../http-proxy.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { connectBy, Device, newAccount } from "./device.ts";

vi.setConfig({ testTimeout: 90_000 });

let parley: ParleyUnderTest;
beforeAll(async () => {
  parley = await openParley();
});
afterAll(() => parley.stop());

/** Two people behind the same proxy talk in both directions. */
async function talk(proxy: HttpProxy): Promise<[Device, Device]> {
  const connect = async (name: string) =>
    Device.connect(proxy.url, await newAccount(parley.nextUrl(), name));
  const [ann, ben] = await Promise.all([connect("ann"), connect("ben")]);
  const channelId = await ann.openDirect(ben);
  for (let n = 1; n <= 20; n++) {
    await ann.say(channelId, `ann ${n}`);
    await ben.hears(channelId, `ann ${n}`);
    await ben.say(channelId, `ben ${n}`);
  }
  for (const device of [ann, ben]) await device.hears(channelId, "ben 20");
  expect(ann.texts(channelId)).toEqual(ben.texts(channelId));
  expect(ann.texts(channelId)).toHaveLength(40);
  return [ann, ben];
}

describe("[T2] behind a proxy", () => {
  it("that refuses WebSocket a device goes over to an event stream by itself", async () => {
    await using proxy = await HttpProxy.start({ targets: parley.urls.slice(0, 1) });
    const devices = await talk(proxy);
    for (const { client } of devices) {
      expect(client.state).toMatchObject({ status: "online", way: "sse" });
      await client.close();
    }
    expect(proxy.asked.filter((path) => path === "upgrade /ws")).toHaveLength(4);
    expect(proxy.asked).toContain("/v1/frames");
  });

  it("that also holds responses back it goes on to polls", async () => {
    const targets = parley.urls.slice(0, 1);
    await using proxy = await HttpProxy.start({ targets, buffers: true });
    for (const { client } of await talk(proxy)) {
      expect(client.state).toMatchObject({ status: "online", way: "poll" });
      await client.close();
    }
    expect(proxy.asked).toContain("/v1/events");
  });

  it("that brings each request to another edge nothing is missed, in one connection", async () => {
    await using proxy = await HttpProxy.start({ targets: parley.urls });
    connectBy("poll");
    for (const device of await talk(proxy)) {
      expect(device.events.filter((event) => event === "caughtUp")).toHaveLength(1);
      await device.client.close();
    }
  });
});
