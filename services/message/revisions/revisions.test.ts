import { create, fromBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { InboxEntrySchema } from "../../../gen/parley/log/v1/log_pb.js";
import { RevisionSchema } from "../../../gen/parley/message/v1/message_pb.js";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { inboxSubject } from "../../../mesh/streams.ts";
import { MessageFixture, type MessageInstance, retentionMs } from "../message-fixture.ts";

const { method } = MessageService;

/** A group of ann and ben, in which ann has sent a text. */
async function setUp(settings: { historyBeforeJoining?: boolean } = {}) {
  const fixture = new MessageFixture();
  const instance = fixture.instance();
  const { channel } = await instance.call("ann", method.createGroup, {
    ...{ clientMessageId: fixture.clientId(), name: "group", userIds: ["ben"], public: true },
    ...settings,
  });
  const { channelId } = channel!;
  const send = (text: string, rest: { userId?: string; replyToMessageId?: bigint } = {}) => {
    const { userId = "ann", ...request } = rest;
    const clientMessageId = fixture.clientId();
    return instance.call(userId, method.sendMessage, {
      ...{ channelId, clientMessageId, text },
      ...request,
    });
  };
  const { messageId } = await send("first");
  const at = () => ({ channelId, messageId, clientMessageId: fixture.clientId() });
  const edit = (text: string, userId = "ann", from: MessageInstance = instance) =>
    from.call(userId, method.editMessage, { ...at(), text });
  const remove = (userId = "ann") => instance.call(userId, method.deleteMessage, at());
  const react = (emoji: string, userId = "ann", from: MessageInstance = instance) =>
    from.call(userId, method.addReaction, { ...at(), emoji });
  const unreact = (emoji: string, userId = "ann") =>
    instance.call(userId, method.removeReaction, { ...at(), emoji });
  /** The message as a user reads it. */
  const read = async (userId = "ann", id = messageId) => {
    const start = { case: "aroundMessageId", value: id } as const;
    const request = { channelId, pageSize: 1, start };
    const page = await instance.call(userId, method.listMessages, request);
    return page.messages.find((each) => each.messageId === id);
  };
  /** Lets the workers do all there is, and the log forget it. */
  const settle = async () => {
    await fixture.work();
    await fixture.pass(retentionMs);
    await fixture.work();
  };
  return {
    fixture,
    instance,
    channelId,
    messageId,
    at,
    send,
    edit,
    remove,
    react,
    unreact,
    read,
    settle,
  };
}

describe("revisions", () => {
  it("[M9] [H6] an edit is in the history at once, and stays there when the log is gone", async () => {
    const { edit, read, settle, messageId, fixture, channelId } = await setUp();
    const { channelSequence } = await edit("second @BEN");
    expect(channelSequence).toBe(3);
    const expected = {
      ...{ messageId, channelSequence: 2, editSequence: 3, revisionSequence: 3 },
      ...{ body: { case: "text", value: "second @BEN" }, mentionedUserIds: ["ben"] },
    };
    expect(await read()).toMatchObject(expected);
    await settle();
    expect(await fixture.entriesOf(channelId)).toEqual([]);
    expect(await read()).toMatchObject(expected);
    // An old message, whose log is gone, is edited as well.
    await edit("third");
    expect(await read("ben")).toMatchObject({ body: { value: "third" }, editSequence: 4 });
  });

  it("[M9] a deleted message is a tombstone in its place, for ever", async () => {
    const { edit, remove, react, read, settle, send } = await setUp();
    await react("👍");
    await remove();
    await send("after");
    for (const look of [1, 2]) {
      const tombstone = await read("ben");
      expect(tombstone).toMatchObject({
        body: { case: undefined },
        reactions: [],
        senderId: "ann",
      });
      expect(tombstone?.deleteTime).toBeDefined();
      if (look === 1) await settle();
    }
    expect(await remove()).toMatchObject({ channelSequence: 0 });
    await expect(edit("again")).rejects.toMatchObject({ reason: "MESSAGE_DELETED" });
    await expect(react("👍")).rejects.toMatchObject({ reason: "MESSAGE_DELETED" });
  });

  it("[M9] a deleted message stays one, whatever else the same entry revises", async () => {
    const { fixture, instance, channelId, edit, remove, react, read, send, settle } = await setUp();
    const others: bigint[] = [];
    for (let n = 0; n < 40; n++) others.push((await send(`${n}`)).messageId);
    await settle();
    const first = react("👍");
    const among = others.map((messageId) => {
      const at = { channelId, messageId, clientMessageId: fixture.clientId() };
      return instance.call("ben", method.addReaction, { ...at, emoji: "👍" });
    });
    const late = [remove(), edit("back"), react("🎉")];
    const outcomes = await Promise.allSettled([first, ...among, ...late]);
    expect(await fixture.entriesOf(channelId)).toHaveLength(1);
    const refusals = outcomes.flatMap((each) => (each.status === "rejected" ? each.reason : []));
    expect(refusals.map(({ reason }) => reason)).toEqual(["MESSAGE_DELETED", "MESSAGE_DELETED"]);
    expect((await read())?.deleteTime).toBeDefined();
  });

  it("[M9] [G1] a text is deleted by its sender, and by who keeps the group, who can't edit it", async () => {
    const { fixture, instance, channelId, edit, remove, read, send } = await setUp();
    const { messageId } = await send("hers", { userId: "ben" });
    const at = () => ({ channelId, messageId, clientMessageId: fixture.clientId() });
    await expect(remove("ben")).rejects.toMatchObject({ reason: "NOT_THE_SENDER" });
    await expect(edit("mine", "ben")).rejects.toMatchObject({ reason: "NOT_THE_SENDER" });
    const change = instance.call("ann", method.editMessage, { ...at(), text: "mine" });
    await expect(change).rejects.toMatchObject({ reason: "NOT_THE_SENDER" });
    await instance.call("ann", method.deleteMessage, at());
    const tombstone = await read("ben", messageId);
    expect(tombstone).toMatchObject({ body: { case: undefined }, senderId: "ben" });
    expect(tombstone?.deleteTime).toBeDefined();
  });

  it("[M9] reactions are counted by emoji, each user's once", async () => {
    const { react, unreact, read, settle, instance, channelId, messageId } = await setUp();
    expect(await react("👍")).toMatchObject({ channelSequence: 3 });
    expect(await react("👍")).toMatchObject({ channelSequence: 0 });
    await react("👍", "ben");
    await settle();
    await react("🎉", "ben");
    await unreact("👍", "ann");
    await unreact("👍", "ann");
    const expected = [
      { emoji: "🎉", count: 1, userIds: ["ben"], givenByCaller: false },
      { emoji: "👍", count: 1, userIds: ["ben"], givenByCaller: false },
    ];
    expect((await read())?.reactions).toMatchObject(expected);
    await settle();
    expect((await read())?.reactions).toMatchObject(expected);
    expect((await read("ben"))?.reactions[0]).toMatchObject({ givenByCaller: true });
    const ask = { channelId, messageId, pageSize: 1 };
    const first = await instance.call("ann", method.listReactions, ask);
    expect(first.reactions).toMatchObject([{ userId: "ben", emoji: "👍", channelSequence: 4 }]);
    const { nextPageToken: pageToken } = first;
    const second = await instance.call("ann", method.listReactions, { ...ask, pageToken });
    expect(second).toMatchObject({ reactions: [{ emoji: "🎉" }], nextPageToken: "" });
  });

  it("[M9] are refused to who may not make them", async () => {
    const { edit, remove, react, instance, at, channelId, messageId } = await setUp();
    await expect(edit("x", "ben")).rejects.toMatchObject({ reason: "NOT_THE_SENDER" });
    await expect(remove("ben")).rejects.toMatchObject({ reason: "NOT_THE_SENDER" });
    await expect(edit("x", "eve")).rejects.toMatchObject({ reason: "NOT_A_MEMBER" });
    await expect(react("x", "eve")).rejects.toMatchObject({ reason: "NOT_A_MEMBER" });
    await expect(edit("")).rejects.toMatchObject({ reason: "TEXT_EMPTY" });
    for (const emoji of ["", "a b", "\u0007", "x".repeat(65)]) {
      await expect(react(emoji)).rejects.toMatchObject({ reason: "FIELD_INVALID" });
    }
    const unnamed = { ...at(), clientMessageId: "", text: "x" };
    await expect(instance.call("ann", method.editMessage, unnamed)).rejects.toMatchObject({
      reason: "CLIENT_MESSAGE_ID_INVALID",
    });
    const missing = { ...at(), messageId: messageId + 1n, text: "x" };
    await expect(instance.call("ann", method.editMessage, missing)).rejects.toMatchObject({
      reason: "MESSAGE_NOT_FOUND",
    });
    const { messages } = await instance.call("ann", method.listMessages, { channelId });
    const created = { ...at(), messageId: messages.at(-1)!.messageId, text: "x" };
    await expect(instance.call("ann", method.editMessage, created)).rejects.toMatchObject({
      reason: "NOT_A_TEXT",
    });
  });

  it("[M9] [R1] a message takes 1,000 reactions, and says so", async () => {
    const { react, unreact, fixture, messageId, channelId, settle } = await setUp();
    const revisions = Array.from({ length: 999 }, (_, i) => ({
      ...{ channelId, messageId, messageChannelSequence: 2, channelSequence: i + 1_000_000 },
      ...{ senderId: `u${i}`, clientMessageId: `r${i}`, emoji: "👍" },
    }));
    await settle();
    await fixture.store.apply({
      revisions: revisions.map(({ emoji, ...rest }) =>
        create(RevisionSchema, { ...rest, change: { case: "reactionAdded", value: { emoji } } }),
      ),
    });
    await react("👍");
    await expect(react("🎉")).rejects.toMatchObject({ reason: "REACTIONS_FULL" });
    await unreact("👍");
    await expect(react("🎉")).rejects.toMatchObject({ reason: "REACTIONS_FULL" });
    expect((await react("👍")).channelSequence).toBeGreaterThan(0);
  });

  it("[M5] [M9] a resend is answered with the first result, however late, and changes nothing", async () => {
    const { instance, at, edit, read, settle, channelId, messageId } = await setUp();
    const request = { ...at(), text: "second" };
    const first = await instance.call("ann", method.editMessage, request);
    await edit("third");
    expect(await instance.call("ann", method.editMessage, request)).toEqual(first);
    await settle();
    expect(await instance.call("ann", method.editMessage, request)).toEqual(first);
    expect(await read()).toMatchObject({ body: { value: "third" } });
    const { clientMessageId } = request;
    for (const again of [
      instance.call("ann", method.editMessage, { ...request, text: "other" }),
      instance.call("ann", method.sendMessage, { channelId, clientMessageId, text: "second" }),
      instance.call("ann", method.deleteMessage, { channelId, clientMessageId, messageId }),
    ]) {
      await expect(again).rejects.toMatchObject({ reason: "CLIENT_MESSAGE_ID_REUSED" });
    }
  });

  it("[M5] a text that was edited is still recognised when it is sent again", async () => {
    const { instance, fixture, channelId, settle } = await setUp();
    const request = { channelId, clientMessageId: fixture.clientId(), text: "sent" };
    const first = await instance.call("ann", method.sendMessage, request);
    const { messageId } = first;
    const clientMessageId = fixture.clientId();
    const edited = { channelId, messageId, clientMessageId, text: "edited" };
    await instance.call("ann", method.editMessage, edited);
    await settle();
    expect(await instance.call("ann", method.sendMessage, request)).toEqual(first);
  });

  it("[M6] [M9] are decided on the true state, in one entry and by two instances at once", async () => {
    const { instance, fixture, at, react, edit, remove, read } = await setUp();
    const other = fixture.instance();
    await edit("warm", "ann", other);
    await Promise.all([
      remove(),
      react("👍", "ben", other).catch(() => {}),
      react("🎉", "ben").catch(() => {}),
    ]);
    expect(await read()).toMatchObject({ body: { case: undefined }, reactions: [] });
    await expect(edit("late", "ann", other)).rejects.toMatchObject({ reason: "MESSAGE_DELETED" });
    const outcomes = await Promise.allSettled([
      instance.call("ann", method.deleteMessage, at()),
      instance.call("ann", method.editMessage, { ...at(), text: "x" }),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  });

  it("[G4] who left sees neither the later text nor later reactions, but that it was deleted", async () => {
    const { fixture, instance, channelId, edit, remove, react, read } = await setUp();
    await react("👍");
    const clientMessageId = fixture.clientId();
    await instance.call("ben", method.leaveGroup, { channelId, clientMessageId });
    await edit("secret");
    await react("🎉");
    const former = await read("ben");
    expect(former).toMatchObject({ body: { case: undefined }, bodyOmitted: true });
    expect(former?.reactions).toMatchObject([{ emoji: "👍", count: 1 }]);
    await remove();
    expect(await read("ben")).toMatchObject({ bodyOmitted: false, reactions: [] });
    expect((await read("ben"))?.deleteTime).toBeDefined();
  });

  it("[G4] who joined later is not told what a hidden message says now", async () => {
    const { fixture, instance, channelId, messageId, edit, react } = await setUp();
    const clientMessageId = fixture.clientId();
    await instance.call("cem", method.joinGroup, { channelId, clientMessageId });
    await edit("secret");
    await expect(react("👍", "cem")).rejects.toMatchObject({ reason: "MESSAGE_NOT_FOUND" });
    await fixture.work();
    const changes = async (userId: string) => {
      const { entries } = await fixture.streams.inbox.read(inboxSubject(userId));
      const items = entries.flatMap(({ data }) => fromBinary(InboxEntrySchema, data).items);
      return items.flatMap(({ item }) => (item.case === "revision" ? [item.value] : []));
    };
    expect(await changes("ben")).toMatchObject([
      { messageId, channelSequence: 4, change: { case: "edit", value: { text: "secret" } } },
    ]);
    expect(await changes("cem")).toMatchObject([{ messageId, change: { case: undefined } }]);
  });

  it("[S4] what changed since an item is listed, each message once, as it is now", async () => {
    const { instance, channelId, messageId, at, edit, react, send, settle, read } = await setUp();
    const second = await send("other");
    await edit("second");
    await settle();
    await react("👍");
    await edit("third");
    const since = async (afterChannelSequence: number, rest = {}) =>
      instance.call("ben", method.listRevisedMessages, {
        channelId,
        afterChannelSequence,
        ...rest,
      });
    const all = await since(0);
    expect(all).toMatchObject({
      ...{ throughChannelSequence: 6, nextPageToken: "", degraded: false },
      messages: [{ messageId, body: { value: "third" }, revisionSequence: 6 }],
    });
    expect(all.messages[0]).toEqual(await read("ben"));
    expect((await since(6)).messages).toEqual([]);
    const request = { ...at(), messageId: second.messageId, emoji: "x" };
    await instance.call("ann", method.addReaction, request);
    const first = await since(0, { pageSize: 1 });
    expect(first).toMatchObject({ messages: [{ messageId }], throughChannelSequence: 6 });
    const { nextPageToken: pageToken } = first;
    expect(await since(0, { pageSize: 1, pageToken })).toMatchObject({
      ...{ messages: [{ messageId: second.messageId }], throughChannelSequence: 7 },
      nextPageToken: "",
    });
  });

  it("[R2] while the store is away recent messages are revised, old ones are unavailable", async () => {
    const { fixture, edit, read, settle, send, instance, messageId, at } = await setUp();
    await settle();
    const recent = await send("recent");
    fixture.storeFaults.chances = { readFails: 1 };
    await expect(edit("x")).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    const { messageId: recentId } = recent;
    const request = { ...at(), messageId: recentId, text: "edited" };
    await instance.call("ann", method.editMessage, request);
    // An answer to an old message goes on trust.
    await send("answer", { replyToMessageId: messageId });
    fixture.storeFaults.chances = {};
    expect(await read("ann", recentId)).toMatchObject({ body: { value: "edited" } });
  });
});

describe("answers", () => {
  it("[M9] name an existing message of the channel", async () => {
    const { send, messageId, read, settle } = await setUp();
    const answer = await send("answer", { userId: "ben", replyToMessageId: messageId });
    expect(await read("ann", answer.messageId)).toMatchObject({ replyToMessageId: messageId });
    await settle();
    await send("later", { replyToMessageId: messageId });
    for (const replyToMessageId of [1n, answer.messageId + 100n]) {
      await expect(send("x", { replyToMessageId })).rejects.toMatchObject({
        reason: "MESSAGE_NOT_FOUND",
      });
    }
  });

  it("[M9] [G4] name no message that the sender may not see", async () => {
    const { fixture, instance, channelId, send, messageId } = await setUp();
    const clientMessageId = fixture.clientId();
    await instance.call("cem", method.joinGroup, { channelId, clientMessageId });
    await expect(send("x", { userId: "cem", replyToMessageId: messageId })).rejects.toMatchObject({
      reason: "MESSAGE_NOT_FOUND",
    });
  });
});
