import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { silentLogger } from "../../../mesh/logger.ts";
import type { PushItem } from "../../../mesh/push-source.ts";
import type { Running } from "../../../mesh/streams.ts";
import { MessageFixture, type MessageInstance } from "../message-fixture.ts";
import { LogPushSource, pushWorker } from "./push-source.ts";

const { method } = MessageService;

let fixture: MessageFixture;
let instance: MessageInstance;
let source: LogPushSource;
let running: Running | undefined;
beforeEach(() => {
  fixture = new MessageFixture();
  instance = fixture.instance();
  const { streams, store, clock } = fixture;
  const { log, deadLetters } = streams;
  source = new LogPushSource({ log, deadLetters, store, clock, logger: silentLogger });
});
afterEach(() => running?.stop());

async function createGroup(...userIds: string[]): Promise<string> {
  const request = { clientMessageId: fixture.clientId(), name: "Team", userIds };
  return (await instance.call("ann", method.createGroup, request)).channel!.channelId;
}

const change = (channelId: string) => ({ channelId, clientMessageId: fixture.clientId() });

const send = async (userId: string, channelId: string, text: string) =>
  (await instance.call(userId, method.sendMessage, { ...change(channelId), text })).messageId;

/** Reads all that the log has. */
async function read(): Promise<PushItem[]> {
  const items: PushItem[] = [];
  running = source.work(async (some) => void items.push(...some));
  await fixture.pass(1_000);
  await fixture.pass(1_000);
  return items;
}

describe("what push is told of a channel", () => {
  it("[N1] are its texts, with everybody else who is a member then, and who is one no more", async () => {
    const channelId = await createGroup("ben", "cid");
    const messageId = await send("ann", channelId, "hello");
    await instance.call("ann", method.removeMember, { ...change(channelId), userId: "cid" });
    await send("ben", channelId, "hello you");
    const sendTimeMs = fixture.clock.nowMs();
    const place = { kind: "text", channelId, channelName: "Team", isLive: false, sendTimeMs };
    expect(await read()).toMatchObject([
      { ...place, messageId, senderId: "ann", text: "hello", userIds: ["ben", "cid"] },
      { kind: "departure", channelId, userIds: ["cid"] },
      { ...place, senderId: "ben", text: "hello you", userIds: ["ann"] },
    ]);
    expect(await fixture.streams.log.checkpoint(pushWorker, channelId)).toBeGreaterThan(0);
  });

  it("[N1] is that the group is deleted, and its texts are unread no more", async () => {
    const channelId = await createGroup("ben");
    await send("ann", channelId, "hello");
    await fixture.work();
    expect(await source.unreadCount("ben")).toBe(1);
    await instance.call("ann", method.deleteChannel, change(channelId));
    expect((await read()).at(-1)).toEqual({ kind: "departure", channelId, userIds: "everybody" });
    await fixture.work();
    expect(await source.unreadCount("ben")).toBe(0);
  });

  it("[N1] are edits and deletions, and no reactions", async () => {
    const channelId = await createGroup("ben");
    const messageId = await send("ann", channelId, "helo");
    const of = () => ({ ...change(channelId), messageId });
    await instance.call("ann", method.editMessage, { ...of(), text: "hello" });
    await instance.call("ben", method.addReaction, { ...of(), emoji: "👍" });
    await instance.call("ann", method.deleteMessage, of());
    expect((await read()).slice(1)).toEqual([
      { kind: "revision", channelId, messageId, text: "hello" },
      { kind: "revision", channelId, messageId, text: undefined },
    ]);
  });

  it("[N1] [G3] where it is LIVE are texts that mention somebody, for those alone", async () => {
    const userIds = Array.from({ length: 100 }, (_, i) => `u${i}`);
    const channelId = await createGroup(...userIds.slice(0, 90));
    await instance.call("ann", method.addMembers, {
      ...change(channelId),
      userIds: userIds.slice(90),
    });
    await fixture.work();
    await send("ann", channelId, "hello all");
    await send("ann", channelId, "hello @u70, @u95 and @nobody1");
    const texts = (await read()).filter(({ kind }) => kind === "text");
    expect(texts).toMatchObject([{ isLive: true, userIds: ["u70", "u95"] }]);
  });
});

describe("what push is told of members", () => {
  it("[N1] is how far any device has received or read each channel", async () => {
    const members = ["ben", "cid", "dan", "eve"];
    const channelId = await createGroup(...members);
    const [first, second] = [
      await send("ann", channelId, "one"),
      await send("ann", channelId, "two"),
    ];
    await fixture.work();
    const delivered = { cursor: { inboxEpoch: "e", inboxSequence: 1n, curMaxMessageId: second } };
    const channels = [{ channelId, messageId: second }];
    const moves = [
      instance.call("ben", method.markDelivered, { ...delivered, channels }),
      instance.call("cid", method.markRead, { channelId, messageId: first }),
    ];
    await fixture.pass(1_000);
    await Promise.all(moves);
    const of = (userIds: string[]) => userIds.map((userId) => ({ userId, channelId }));
    const known = await source.received(of(members));
    expect(known.slice(0, 2)).toEqual([second, first]);
    for (const none of known.slice(2)) expect(none).toBeLessThan(first);
    expect(await source.received(of(["cid", "ben"]))).toEqual([first, second]);
  });

  it("[N1] is how many texts are unread in all channels", async () => {
    const channels = [await createGroup("ben"), await createGroup("ben")];
    for (const channelId of channels) await send("ann", channelId, "hello");
    const last = await send("ann", channels[1]!, "hello again");
    await fixture.work();
    expect(await source.unreadCount("ben")).toBe(3);
    await instance.call("ben", method.markRead, { channelId: channels[1]!, messageId: last });
    await fixture.pass(1_000);
    expect(await source.unreadCount("ben")).toBe(1);
    await read();
    await send("ann", channels[0]!, "and again");
    await fixture.pass(1_000);
    await fixture.pass(1_000);
    expect(await source.unreadCount("ben")).toBe(2);
    expect(await source.unreadCount("zoe")).toBe(0);
  });
});
