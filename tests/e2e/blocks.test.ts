/** Blocks and audiences, from the account of one to what another can do. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Audience, errorReason, SessionService, Status } from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { type Device, newDevices } from "./device.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const { FRIENDS, NOBODY } = Audience;

let parley: ParleyUnderTest;
beforeAll(async () => {
  parley = await openParley();
});
afterAll(() => parley.stop());

async function people(): Promise<[Device, Device]> {
  return (await newDevices(parley.nextUrl, "ann", "ben")) as [Device, Device];
}

const session = (device: Device) => device.http(SessionService);
const outcome = (call: Promise<unknown>) => call.then(() => "ALLOWED", errorReason);

async function befriend(one: Device, other: Device): Promise<void> {
  await session(one).requestFriend({ userId: other.userId });
  await session(other).acceptFriend({ userId: one.userId });
}

function addToGroup(owner: Device, other: Device): Promise<unknown> {
  const clientMessageId = owner.client.newClientMessageId();
  return owner.calls.createGroup({ name: "group", clientMessageId, userIds: [other.userId] });
}

describe("a block", () => {
  it("[A2] ends texts, invitations, presence and friendship, and gives the rest back at its end", async () => {
    const [ann, ben] = await people();
    await befriend(ann, ben);
    const channelId = await ann.openDirect(ben);
    await ann.say(channelId, "before");
    await ben.hears(channelId, "before");
    const presence = async () => (await ann.client.presence([ben.userId]))[0]!;
    const status = async () => (await presence()).status;
    await expect.poll(status, { timeout: 15_000 }).toBe(Status.ONLINE);

    await session(ben).blockUser({ userId: ann.userId });
    const type = () => outcome(ann.calls.sendTyping({ channelId }));
    await expect.poll(type, { timeout: 15_000 }).toBe("BLOCKED");
    expect(await outcome(ann.say(channelId, "not heard"))).toBe("BLOCKED");
    expect(await outcome(addToGroup(ann, ben))).toBe("BLOCKED");
    expect(await outcome(session(ann).requestFriend({ userId: ben.userId }))).toBe("BLOCKED");
    await expect.poll(status, { timeout: 15_000 }).toBe(Status.UNSPECIFIED);
    expect((await presence()).lastActiveTime).toBeUndefined();
    expect((await session(ann).listFriends({})).friends).toEqual([]);

    await ben.say(channelId, "ben may");
    await ann.hears(channelId, "ben may");
    await session(ben).unblockUser({ userId: ann.userId });
    await expect.poll(type, { timeout: 15_000 }).toBe("ALLOWED");
    await ann.say(channelId, "after");
    await ben.hears(channelId, "after");
    expect(ben.texts(channelId)).toEqual(["before", "ben may", "after"]);
    for (const device of [ann, ben]) await device.client.close();
  });

  it("[A2] holds where the two have no channel yet", async () => {
    const [ann, ben] = await people();
    await session(ben).blockUser({ userId: ann.userId });
    const { blockedUsers } = await session(ben).listBlockedUsers({});
    expect(blockedUsers.map(({ user }) => user!.userId)).toEqual([ann.userId]);
    const open = () => ann.calls.createDirectChannel({ userId: ben.userId });
    expect(await outcome(open())).toBe("BLOCKED");
    const channelId = await ben.openDirect(ann);
    expect((await open()).channel!.channelId).toBe(channelId);
    expect(await outcome(ann.say(channelId, "hello"))).toBe("BLOCKED");
    for (const device of [ann, ben]) await device.client.close();
  });
});

describe("an audience", () => {
  it("[A1] [A2] says who may message first and who may add", async () => {
    const [ann, ben] = await people();
    const settings = { messageAudience: FRIENDS, groupAddAudience: FRIENDS };
    const updateMask = { paths: ["message_audience", "group_add_audience"] };
    await session(ben).updateSettings({ settings, updateMask });
    const open = () => ann.calls.createDirectChannel({ userId: ben.userId });
    expect(await outcome(open())).toBe("NOT_IN_AUDIENCE");
    expect(await outcome(addToGroup(ann, ben))).toBe("NOT_IN_AUDIENCE");
    await befriend(ann, ben);
    const channelId = await ann.openDirect(ben);
    await addToGroup(ann, ben);
    await session(ben).removeFriend({ userId: ann.userId });
    await ann.say(channelId, "as before");
    await ben.hears(channelId, "as before");
    expect(await outcome(addToGroup(ann, ben))).toBe("NOT_IN_AUDIENCE");
    for (const device of [ann, ben]) await device.client.close();
  });

  it("[P6] hides when somebody was active, or presence altogether, from who is no friend", async () => {
    const [ann, ben] = await people();
    const seen = async () => {
      const [presence] = await ann.client.presence([ben.userId]);
      return [Status[presence!.status], presence!.lastActiveTime !== undefined];
    };
    const hide = async (presenceAudience: Audience, lastSeenAudience: Audience) => {
      const updateMask = { paths: ["presence_audience", "last_seen_audience"] };
      const settings = { presenceAudience, lastSeenAudience };
      await session(ben).updateSettings({ settings, updateMask });
    };
    const isSeen = (...expected: unknown[]) =>
      expect.poll(seen, { timeout: 15_000 }).toEqual(expected);
    await isSeen("ONLINE", true);
    await hide(Audience.EVERYBODY, FRIENDS);
    await isSeen("ONLINE", false);
    await hide(FRIENDS, Audience.EVERYBODY);
    await isSeen("UNSPECIFIED", false);
    await befriend(ann, ben);
    await isSeen("ONLINE", true);
    await hide(NOBODY, NOBODY);
    await isSeen("UNSPECIFIED", false);
    for (const device of [ann, ben]) await device.client.close();
  });
});
