import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  MembershipChange_Kind as ChangeKind,
  DeliveryMode,
  errorReason,
  MemberRole,
  MessageService,
  SessionService,
} from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { Device, newAccount, newDevices, password } from "./device.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let parley: ParleyUnderTest;
beforeAll(async () => {
  parley = await openParley();
});
afterAll(() => parley.stop());

/** The devices of a test, by the names of their users. */
async function meet<const Names extends readonly string[]>(
  ...names: Names
): Promise<Record<Names[number], Device>> {
  const devices = await newDevices(parley.nextUrl, ...names);
  return Object.fromEntries(names.map((name, at) => [name, devices[at]])) as never;
}

const reasonOf = (call: Promise<unknown>) => call.then(() => "accepted", errorReason);

/** What a device was told of changes of membership. */
function changes(device: Device, channelId: string) {
  return device.told(channelId).flatMap(({ body }) => {
    if (body.case !== "membershipChange") return [];
    const { kind, userIds, newOwnerId } = body.value;
    return [{ kind, userIds, ...(newOwnerId && { newOwnerId }) }];
  });
}

async function addMembers(by: Device, channelId: string, ...added: Device[]) {
  const clientMessageId = by.client.newClientMessageId();
  const userIds = added.map(({ userId }) => userId);
  return (await by.calls.addMembers({ channelId, clientMessageId, userIds })).channel!;
}

async function removeMember(by: Device, channelId: string, { userId }: Device) {
  const clientMessageId = by.client.newClientMessageId();
  return (await by.calls.removeMember({ channelId, clientMessageId, userId })).channel!;
}

async function join(device: Device, channelId: string) {
  const clientMessageId = device.client.newClientMessageId();
  return (await device.calls.joinGroup({ channelId, clientMessageId })).channel!;
}

async function leave(device: Device, channelId: string) {
  const clientMessageId = device.client.newClientMessageId();
  await device.calls.leaveGroup({ channelId, clientMessageId });
}

async function historyTexts(device: Device, channelId: string): Promise<string[]> {
  const { messages } = await device.http(MessageService).listMessages({ channelId });
  return messages.flatMap(({ body }) => (body.case === "text" ? [body.value] : [])).reverse();
}

async function roles(device: Device, channelId: string): Promise<Record<string, MemberRole>> {
  const { members } = await device.calls.listMembers({ channelId });
  return Object.fromEntries(members.map(({ userId, role }) => [userId, role]));
}

describe("a group", () => {
  it("[G1] is created once, however often its creation is sent", async () => {
    const { ann, ben } = await meet("ann", "ben");
    const clientMessageId = ann.client.newClientMessageId();
    const request = { clientMessageId, name: "Garden", userIds: [ben.userId] };
    const [first, again] = await Promise.all([
      ann.calls.createGroup(request),
      ann.calls.createGroup(request),
    ]);
    expect(again.channel!.channelId).toBe(first.channel!.channelId);
    const { channelId } = first.channel!;
    await ann.say(channelId, "hello");
    await ben.hears(channelId, "hello");
    expect(changes(ben, channelId)).toEqual([
      {
        kind: ChangeKind.CREATED,
        userIds: [ann.userId, ben.userId],
        newOwnerId: ann.userId,
      },
    ]);
    expect((await ben.calls.getChannel({ channelId })).channel).toMatchObject({
      name: "Garden",
      memberCount: 2,
      creatorId: ann.userId,
      public: false,
      lastChannelSequence: 2,
    });
  });

  it("[G1] lists its members and a user's channels in pages", async () => {
    const { ann, ben, cleo } = await meet("ann", "ben", "cleo");
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.push(await ann.createGroup([ben, cleo]));
    // Who has been told of a channel finds it in the list.
    await ben.until(() => ids.every((channelId) => ben.told(channelId).length > 0));
    const listed: string[] = [];
    const channelSizes: number[] = [];
    for (let pageToken: string | undefined = ""; pageToken !== undefined; ) {
      const page = await ben.http(MessageService).listChannels({ pageSize: 2, pageToken });
      listed.push(...page.channels.map(({ channelId }) => channelId));
      channelSizes.push(page.channels.length);
      pageToken = page.nextPageToken || undefined;
    }
    expect(listed).toEqual(ids.sort());
    expect(channelSizes).toEqual([2, 2, 1]);

    const channelId = ids[0]!;
    const first = await cleo.calls.listMembers({ channelId, pageSize: 2 });
    const { nextPageToken: pageToken } = first;
    const second = await cleo.calls.listMembers({ channelId, pageSize: 2, pageToken });
    expect(second.nextPageToken).toBe("");
    const members = [...first.members, ...second.members];
    expect(members.map(({ userId }) => userId)).toEqual(
      [ann.userId, ben.userId, cleo.userId].sort(),
    );
    expect(await roles(ben, channelId)).toEqual({
      [ann.userId]: MemberRole.OWNER,
      [ben.userId]: MemberRole.MEMBER,
      [cleo.userId]: MemberRole.MEMBER,
    });
  });

  it("[G1] [G3] begins with 100 members and turns LIVE with the 101st", async () => {
    const { ann } = await meet("ann");
    const others = await Promise.all(
      Array.from({ length: 100 }, () => newAccount(parley.nextUrl())),
    );
    const userIds = others.map(({ userId }) => userId);
    const create = (userIds: string[]) =>
      ann.calls.createGroup({
        clientMessageId: ann.client.newClientMessageId(),
        name: "all",
        userIds,
      });
    expect(await reasonOf(create(userIds))).toBe("FIELD_INVALID");
    const { channel } = await create(userIds.slice(1));
    expect(channel!.memberCount).toBe(100);
    const late = { userId: userIds[0]! } as Device;
    expect(channel!.mode).toBe(DeliveryMode.COPY);
    const grown = await addMembers(ann, channel!.channelId, late);
    expect(grown).toMatchObject({ mode: DeliveryMode.LIVE, memberCount: 101 });
  });

  it("[G1] is changed only by those who may", async () => {
    const { ann, ben, eve } = await meet("ann", "ben", "eve");
    const channelId = await ann.createGroup([ben]);
    expect(await reasonOf(addMembers(ben, channelId, eve))).toBe("ROLE_INSUFFICIENT");
    expect(await reasonOf(removeMember(ben, channelId, ann))).toBe("ROLE_INSUFFICIENT");
    expect(await reasonOf(removeMember(ann, channelId, ann))).toBe("FIELD_INVALID");
    expect(await reasonOf(removeMember(ann, channelId, eve))).toBe("MEMBER_NOT_FOUND");
    for (const call of [
      () => addMembers(eve, channelId, eve),
      () => removeMember(eve, channelId, ann),
      () => leave(eve, channelId),
      () => eve.calls.getChannel({ channelId }),
      () => eve.calls.listMembers({ channelId }),
      () => eve.calls.listMessages({ channelId }),
      () => eve.say(channelId, "let me in"),
    ]) {
      expect(await reasonOf(call())).toBe("NOT_A_MEMBER");
    }
    expect(await reasonOf(join(eve, channelId))).toBe("NOT_PUBLIC");
    expect(await reasonOf(join(eve, `${channelId.slice(0, -1)}0`))).toBe("NOT_PUBLIC");
    for (const userId of ["nobody0000000000", "nobody"]) {
      const nobody = { userId } as Device;
      expect(await reasonOf(addMembers(ann, channelId, nobody))).toBe("USER_NOT_FOUND");
      expect(await reasonOf(ann.openDirect(nobody))).toBe("USER_NOT_FOUND");
    }
    const direct = await ann.openDirect(ben);
    expect(await reasonOf(leave(ann, direct))).toBe("NOT_A_GROUP");
    expect(await reasonOf(addMembers(ann, direct, eve))).toBe("NOT_A_GROUP");
  });

  it("[G1] [G4] that is public is joined and left, which everybody sees in its order", async () => {
    const { ann, ben, cleo } = await meet("ann", "ben", "cleo");
    const channelId = await ann.createGroup([ben], { public: true });
    expect(await join(cleo, channelId)).toMatchObject({ memberCount: 3, public: true });
    expect(await join(cleo, channelId)).toMatchObject({ memberCount: 3 });
    await cleo.say(channelId, "hello");
    await leave(cleo, channelId);
    expect(await reasonOf(cleo.say(channelId, "again"))).toBe("NOT_A_MEMBER");
    await ben.say(channelId, "bye");
    await Promise.all([ann.hears(channelId, "bye"), cleo.hears(channelId, "hello")]);
    const told = ann.told(channelId).map(({ body }) => {
      return body.case === "membershipChange" ? ChangeKind[body.value.kind] : body.value;
    });
    expect(told).toEqual(["CREATED", "JOINED", "hello", "LEFT", "bye"]);
    expect(cleo.texts(channelId)).toEqual(["hello"]);
    expect((await cleo.calls.listChannels({})).channels).toEqual([]);
  });

  it("[G1] that its owner leaves belongs to the longest-standing member", async () => {
    const { ann, ben, cleo } = await meet("ann", "ben", "cleo");
    const channelId = await ann.createGroup([]);
    await addMembers(ann, channelId, cleo);
    await addMembers(ann, channelId, ben);
    await leave(ann, channelId);
    await ben.until(() => changes(ben, channelId).some(({ kind }) => kind === ChangeKind.LEFT));
    expect(changes(ben, channelId).at(-1)).toEqual({
      kind: ChangeKind.LEFT,
      userIds: [ann.userId],
      newOwnerId: cleo.userId,
    });
    expect(await roles(ben, channelId)).toEqual({
      [cleo.userId]: MemberRole.OWNER,
      [ben.userId]: MemberRole.MEMBER,
    });
    expect(await removeMember(cleo, channelId, ben)).toMatchObject({ memberCount: 1 });
  });

  it("[G1] whose owner's account is deleted belongs to the longest-standing member", async () => {
    const { ann, ben, cleo } = await meet("ann", "ben", "cleo");
    const channelId = await ann.createGroup([]);
    await addMembers(ann, channelId, cleo);
    await addMembers(ann, channelId, ben);
    await ann.until(() => changes(ann, channelId).length === 3);
    await ann.http(SessionService).deleteAccount({ password });
    await ben.until(() => changes(ben, channelId).some(({ kind }) => kind === ChangeKind.LEFT));
    expect(changes(ben, channelId).at(-1)).toEqual({
      kind: ChangeKind.LEFT,
      userIds: [ann.userId],
      newOwnerId: cleo.userId,
    });
    expect(await removeMember(cleo, channelId, ben)).toMatchObject({ memberCount: 1 });
  });
});

describe("a group that its owner deletes", () => {
  it("[G1] [G4] ends with that for every device, also for one that was away", async () => {
    const { ann, ben, cleo } = await meet("ann", "ben", "cleo");
    const channelId = await ann.createGroup([ben, cleo]);
    await ann.say(channelId, "hello");
    for (const device of [ann, ben, cleo]) {
      await device.hears(channelId, "hello");
      await vi.waitFor(() => expect(device.client.channel(channelId)).toBeDefined());
    }
    await cleo.client.close();
    await ben.say(channelId, "bye");
    const clientMessageId = ann.client.newClientMessageId();
    await ann.calls.deleteChannel({ channelId, clientMessageId });
    const back = await Device.connect(parley.nextUrl(), cleo.signIn, cleo.store);
    const devices = [ann, ben, back];
    for (const device of devices) {
      await device.until(() => device.told(channelId).at(-1)?.body.case === "channelChange");
      expect(device.client.knownChannels).toMatchObject([{ channelId, member: false }]);
      expect(device.client.channel(channelId)?.deleteTime).toBeDefined();
      expect(await reasonOf(device.say(channelId, "late"))).toBe("CHANNEL_DELETED");
      expect(await reasonOf(historyTexts(device, channelId))).toBe("CHANNEL_DELETED");
      const channels = async () => (await device.calls.listChannels({})).channels;
      await expect.poll(channels, { timeout: 15_000 }).toEqual([]);
    }
    expect(ben.texts(channelId)).toEqual(["hello", "bye"]);
    expect(back.texts(channelId)).toEqual(["bye"]);
  });
});

describe("who is added to a group", () => {
  it.each([
    { historyBeforeJoining: true, readable: ["before", "after"] },
    { historyBeforeJoining: false, readable: ["after"] },
  ])(
    "[G4] reads $readable where history_before_joining is $historyBeforeJoining",
    async ({ historyBeforeJoining, readable }) => {
      const { ann, ben } = await meet("ann", "ben");
      const channelId = await ann.createGroup([], { historyBeforeJoining });
      await ann.say(channelId, "before");
      await addMembers(ann, channelId, ben);
      await ann.say(channelId, "after");
      await ben.hears(channelId, "after");
      expect(ben.texts(channelId)).toEqual(["after"]);
      expect(await historyTexts(ben, channelId)).toEqual(readable);
    },
  );
});
