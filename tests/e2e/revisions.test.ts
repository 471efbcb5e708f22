import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { errorReason, MessageOrder, MessageService } from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { Device, newDevices } from "./device.ts";

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

/** The history as the device's user reads it now over HTTP, oldest first. */
async function history(device: Device, channelId: string) {
  const order = MessageOrder.OLDEST_FIRST;
  const { messages } = await device.http(MessageService).listMessages({ channelId, order });
  return messages;
}

/** Waits until what the device has at hand is what the history says. */
async function convergence(device: Device, channelId: string): Promise<void> {
  await vi.waitFor(
    async () => {
      const wanted = await history(device, channelId);
      const recent = device.client.recent(channelId);
      expect(recent.length).toBeGreaterThan(1);
      // A device that came later has less of it.
      expect(recent).toEqual(wanted.slice(-recent.length));
    },
    { timeout: 30_000, interval: 200 },
  );
}

describe("messages that change", () => {
  it("[M9] [H6] end the same on every device, and in the history at once", async () => {
    const { ann, ben } = await meet("ann", "ben");
    const channelId = await ann.createGroup([ben]);
    const tablet = await ben.another(parley.nextUrl());
    const first = await ann.say(channelId, "first");
    const second = await ben.say(channelId, "second");
    await ann.client.edit(channelId, first, `thanks @${ben.signIn.username}`);
    await ben.client.react(channelId, first, "👍🏽");
    await ann.client.react(channelId, first, "👍🏽");
    await ann.client.react(channelId, second, "🎉");
    await ann.client.react(channelId, second, "🎉", false);
    await ben.client.delete(channelId, second);
    const [, edited, deleted] = await history(ben, channelId);
    expect(edited).toMatchObject({
      body: { case: "text", value: `thanks @${ben.signIn.username}` },
      mentionedUserIds: [ben.userId],
      reactions: [{ emoji: "👍🏽", count: 2, userIds: [ben.userId, ann.userId] }],
    });
    expect(edited?.reactions[0]?.givenByCaller).toBe(true);
    expect(deleted).toMatchObject({ messageId: second, body: { case: undefined }, reactions: [] });
    expect(deleted?.deleteTime).toBeDefined();
    for (const device of [ann, ben, tablet]) await convergence(device, channelId);
    await Promise.all([ann, ben, tablet].map(({ client }) => client.close()));
  });

  it("[S4] [M9] are known to a device that was away, by its own memory and what it lacks", async () => {
    const { ann, ben } = await meet("ann", "ben");
    const channelId = await ann.openDirect(ben);
    const ids: bigint[] = [];
    for (let n = 0; n < 10; n++) ids.push(await ann.say(channelId, `text ${n}`));
    await ben.until(({ messages }) => messages.some(({ messageId }) => messageId === ids.at(-1)));
    await ben.client.close();
    await ann.client.edit(channelId, ids[2]!, "edited");
    await ann.client.delete(channelId, ids[4]!);
    await ann.say(channelId, "new");
    await ann.client.react(channelId, ids[6]!, "👀");
    const back = await Device.connect(parley.nextUrl(), ben.signIn, ben.store);
    await convergence(back, channelId);
    const texts = back.client.recent(channelId).map(({ body }) => body.value);
    expect(texts).toContain("edited");
    expect(texts).not.toContain("text 4");
    const page = await back.calls.listRevisedMessages({ channelId, afterChannelSequence: 11 });
    expect(page.messages.map(({ messageId }) => messageId)).toEqual([ids[2], ids[4], ids[6]]);
    expect(page).toMatchObject({ throughChannelSequence: 15, degraded: false });
    await Promise.all([ann, back].map(({ client }) => client.close()));
  });

  it("[M9] [G4] by whom they may, over WebSocket and HTTP alike", async () => {
    const { ann, ben, eve } = await meet("ann", "ben", "eve");
    const channelId = await ann.createGroup([ben]);
    const messageId = await ann.say(channelId, "mine");
    for (const [who, reason] of [
      [ben, "NOT_THE_SENDER"],
      [eve, "NOT_A_MEMBER"],
    ] as const) {
      for (const calls of [who.calls, who.http(MessageService)]) {
        const clientMessageId = who.client.newClientMessageId();
        const request = { channelId, messageId, clientMessageId };
        expect(await reasonOf(calls.editMessage({ ...request, text: "x" }))).toBe(reason);
        expect(await reasonOf(calls.deleteMessage(request))).toBe(reason);
      }
    }
    const clientMessageId = ann.client.newClientMessageId();
    const request = { channelId, messageId, clientMessageId, emoji: "ok" };
    const given = await ann.http(MessageService).addReaction(request);
    expect(await ann.calls.addReaction(request)).toEqual(given);
    const { reactions } = await ben.calls.listReactions({ channelId, messageId });
    expect(reactions).toMatchObject([{ userId: ann.userId, emoji: "ok" }]);
    await Promise.all([ann, ben, eve].map(({ client }) => client.close()));
  });

  it("[M9] [G4] who left or came later never gets what a text became", async () => {
    const { ann, ben, cem } = await meet("ann", "ben", "cem");
    const channelId = await ann.createGroup([ben], { public: true });
    const messageId = await ann.say(channelId, "before");
    await ben.until(() => ben.texts(channelId).includes("before"));
    const leaving = { channelId, clientMessageId: ben.client.newClientMessageId() };
    await ben.calls.leaveGroup(leaving);
    await cem.calls.joinGroup({ channelId, clientMessageId: cem.client.newClientMessageId() });
    await ann.client.edit(channelId, messageId, "secret");
    await ann.say(channelId, "last");
    await cem.until(() => cem.texts(channelId).includes("last"));
    for (const [who, count] of [
      [ben, 1],
      [cem, 0],
    ] as const) {
      const shown = (await history(who, channelId)).filter((each) => each.messageId === messageId);
      expect(shown).toHaveLength(count);
      for (const { body, bodyOmitted } of shown) {
        expect({ body, bodyOmitted }).toMatchObject({
          body: { case: undefined },
          bodyOmitted: true,
        });
      }
      const { messages } = await who.calls.listRevisedMessages({ channelId });
      expect(JSON.stringify(messages.map(({ body }) => body))).not.toContain("secret");
    }
    await convergence(cem, channelId);
    await Promise.all([ann, ben, cem].map(({ client }) => client.close()));
  });
});
