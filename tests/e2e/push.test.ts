import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import {
  createClient,
  createHttpTransport,
  SessionService,
  type SignIn,
} from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { Device, newAccount } from "./device.ts";

// What is due waits for its time on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

let parley: ParleyUnderTest;
beforeAll(async () => {
  parley = await openParley();
});
afterAll(() => parley.stop());

const session = ({ accessToken }: SignIn) => {
  const url = parley.nextUrl();
  return createClient(
    SessionService,
    createHttpTransport({ url, accessToken: async () => accessToken }),
  );
};

/** An account whose only device takes pushes. */
async function newPushed(name: string): Promise<SignIn> {
  const account = await newAccount(parley.nextUrl(), name);
  const value = { deviceToken: randomBytes(32).toString("hex") };
  await session(account).registerPushToken({ token: { service: { case: "apns", value } } });
  return account;
}

/** What the provider was given for a user. */
const pushesOf = ({ userId }: SignIn) =>
  parley.logged("push_logged").filter((push) => push.user_id === userId);

const untilPushed = (user: SignIn) =>
  expect.poll(() => pushesOf(user).length, { timeout: 60_000, interval: 100 }).toBeGreaterThan(0);

it("[N1] [N2] [M3] who is offline is notified once, nobody else: online, back in time, muting", async () => {
  const [ben, cid, dan, eve, fay] = await Promise.all(
    ["ben", "cid", "dan", "eve", "fay"].map(newPushed),
  );
  await using ann = await Device.connect(
    parley.nextUrl(),
    await newAccount(parley.nextUrl(), "ann"),
  );
  await using online = await Device.connect(parley.nextUrl(), cid!);
  // Who is back later has been there before: a device's first inbox begins with what comes next.
  const { client, store } = await Device.connect(parley.nextUrl(), eve!);
  await client.close();
  const channelId = await ann.createGroup([ben!, cid!, dan!, eve!]);
  await session(dan!).setChannelMute({ channelId, mute: { case: "forever", value: true } });
  await ann.say(channelId, "hello");
  await using back = await Device.connect(parley.nextUrl(), eve!, store);
  await Promise.all([online, back].map((device) => device.hears(channelId, "hello")));
  await untilPushed(ben!);

  // What is due later than everything of the first text.
  await ann.say(await ann.createGroup([fay!]), "hello");
  await untilPushed(fay!);
  expect(pushesOf(ben!)).toMatchObject([{ channel_id: channelId }]);
  for (const user of [cid!, dan!, eve!]) expect(pushesOf(user)).toEqual([]);
  expect(JSON.stringify(parley.logged("push_logged"))).not.toContain("hello");
});
