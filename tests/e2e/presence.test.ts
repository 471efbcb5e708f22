import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  createClient,
  createHttpTransport,
  errorReason,
  SessionService,
  type SignIn,
  Status,
} from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { Device, newAccount } from "./device.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const { ONLINE, OFFLINE } = Status;

let parley: ParleyUnderTest;
beforeAll(async () => {
  parley = await openParley();
});
afterAll(() => parley.stop());

/** Accounts that are all friends of a watcher, who is connected; they are not. */
async function watched(...names: string[]): Promise<{ watcher: Device; friends: SignIn[] }> {
  const session = ({ accessToken }: SignIn) => {
    const transport = createHttpTransport({
      url: parley.nextUrl(),
      accessToken: async () => accessToken,
    });
    return createClient(SessionService, transport);
  };
  const watcher = await newAccount(parley.nextUrl(), "watcher");
  const friends = await Promise.all(names.map((name) => newAccount(parley.nextUrl(), name)));
  for (const friend of friends) {
    await session(friend).requestFriend({ userId: watcher.userId });
    await session(watcher).acceptFriend({ userId: friend.userId });
  }
  return { watcher: await Device.connect(parley.nextUrl(), watcher), friends };
}

/** What the watcher was told of a user. */
const told = (watcher: Device, { userId }: SignIn) =>
  watcher.presences.filter((presence) => presence.userId === userId).map(({ status }) => status);

const untilTold = (watcher: Device, user: SignIn, status: Status) =>
  watcher.until(() => told(watcher, user).at(-1) === status);

/** Over the device's own connection, whose end may come before the answer. */
async function logOut(device: Device): Promise<void> {
  const answered = createClient(SessionService, device.client.transport).logOut({});
  const error = await answered.catch((error: unknown) => error);
  if (error instanceof Error) expect(errorReason(error)).toBe("SIGNED_OUT");
}

describe("a user's presence", () => {
  it("[P1] [P3] begins with the first device and is told to friends, with the time", async () => {
    const {
      watcher,
      friends: [ann],
    } = await watched("ann");
    // Who has just started doesn't know yet who may be connected elsewhere.
    const status = async () => (await watcher.client.presence([ann!.userId]))[0]!.status;
    await expect.poll(status, { timeout: 10_000 }).toBe(OFFLINE);
    await using phone = await Device.connect(parley.nextUrl(), ann!);
    await untilTold(watcher, ann!, ONLINE);
    await using laptop = await phone.another();
    const [now] = await watcher.client.presence([ann!.userId]);
    expect(now).toMatchObject({ userId: ann!.userId, status: ONLINE });
    expect(now!.lastActiveTime).toBeDefined();
    // The second device is no news.
    await laptop.client.close();
    expect(told(watcher, ann!)).toEqual([ONLINE]);
    await watcher.client.close();
  });

  it("[P2] [P3] ends at once with a log-out, and after the grace time without a connection", async () => {
    const { watcher, friends } = await watched("ann", "ben");
    const [ann, ben] = friends as [SignIn, SignIn];
    await using phone = await Device.connect(parley.nextUrl(), ann);
    await using other = await Device.connect(parley.nextUrl(), ben);
    await untilTold(watcher, ann, ONLINE);
    await untilTold(watcher, ben, ONLINE);
    await phone.client.close();
    await logOut(other);
    await untilTold(watcher, ann, OFFLINE);
    // Ann was gone first, Ben is offline first.
    expect(watcher.presences.slice(-2)).toMatchObject([
      { userId: ben.userId, status: OFFLINE },
      { userId: ann.userId, status: OFFLINE },
    ]);
    expect(await watcher.client.presence([ann.userId, ben.userId])).toMatchObject([
      { status: OFFLINE },
      { status: OFFLINE },
    ]);
    await watcher.client.close();
  });

  it("[P2] does not flicker when a device comes back within the grace time", async () => {
    const { watcher, friends } = await watched("ann", "ben");
    const [ann, ben] = friends as [SignIn, SignIn];
    const phone = await Device.connect(parley.nextUrl(), ann);
    const other = await Device.connect(parley.nextUrl(), ben);
    await untilTold(watcher, ann, ONLINE);
    await untilTold(watcher, ben, ONLINE);
    await phone.client.close();
    await other.client.close();
    await using back = await Device.connect(parley.nextUrl(), ann, phone.store);
    // Ben's grace time ends after Ann's would have.
    await untilTold(watcher, ben, OFFLINE);
    expect(told(watcher, ann)).toEqual([ONLINE]);
    expect(await watcher.client.presence([ann.userId])).toMatchObject([{ status: ONLINE }]);
    expect(back.events).toEqual(["caughtUp"]);
    await watcher.client.close();
  });

  it("[P3] is told to friends alone, as long as they are friends", async () => {
    const { watcher, friends } = await watched("ann", "ben");
    const [ann, ben] = friends as [SignIn, SignIn];
    await using stranger = await Device.connect(
      parley.nextUrl(),
      await newAccount(parley.nextUrl()),
    );
    const sessions = createClient(SessionService, watcher.client.transport);
    await sessions.removeFriend({ userId: ann.userId });
    await using phone = await Device.connect(parley.nextUrl(), ann);
    await using other = await Device.connect(parley.nextUrl(), ben);
    await untilTold(watcher, ben, ONLINE);
    expect(told(watcher, ann)).toEqual([]);
    expect(stranger.presences).toEqual([]);
    expect(phone.presences).toEqual([]);
    expect(other.presences).toMatchObject([]);
    await watcher.client.close();
  });
});
