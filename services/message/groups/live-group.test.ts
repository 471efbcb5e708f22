import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { InboxEntrySchema } from "../../../gen/parley/log/v1/log_pb.js";
import { DeliveryMode, MemberRole } from "../../../gen/parley/message/v1/message_pb.js";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { ChannelUpdateState as State } from "../../../gen/parley/message/v1/sync_pb.js";
import { readChannelBatch } from "../../../mesh/channel-batch.ts";
import { MessageFixture, type MessageInstance } from "../message-fixture.ts";

const { method } = MessageService;
const refused = (reason: string) => expect.objectContaining({ reason });
const names = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => `u${String(from + n).padStart(4, "0")}`);

/** A public group of ann (its owner) and u0001 to u0099, and 101 with u0100. */
async function setUp({ members = 101 } = {}) {
  const fixture = new MessageFixture();
  const instance = fixture.instance();
  const request = {
    clientMessageId: fixture.clientId(),
    name: "g",
    userIds: names(1, 100),
    public: true,
  };
  const { channelId } = (await instance.call("ann", method.createGroup, request)).channel!;
  const ids = () => ({ channelId, clientMessageId: fixture.clientId() });
  const send = (userId: string, text: string, from: MessageInstance = instance) =>
    from.call(userId, method.sendMessage, { ...ids(), text });
  const add = (...userIds: string[]) =>
    instance.call("ann", method.addMembers, { ...ids(), userIds });
  /** What a user's inbox holds of texts and else. */
  const inboxOf = async (userId: string) => {
    const { entries } = await fixture.streams.inbox.read(userId);
    return entries.flatMap(({ data }) =>
      fromBinary(InboxEntrySchema, data).items.flatMap(({ item }) =>
        item.case === "message"
          ? item.value.body.case === "text"
            ? item.value.body.value
            : item.value.body.case!
          : [],
      ),
    );
  };
  const listed = async (from: MessageInstance = instance) => {
    const all: string[] = [];
    for (let pageToken = "", more = true; more; more = pageToken !== "") {
      const page = await from.call("ann", method.listMembers, {
        channelId,
        pageSize: 40,
        pageToken,
      });
      all.push(...page.members.map(({ userId }) => userId));
      pageToken = page.nextPageToken;
    }
    return all;
  };
  if (members > 100) await add(...names(100, members));
  return { fixture, instance, channelId, ids, send, add, inboxOf, listed };
}

describe("[G3] a group that grows past 100 members", () => {
  it("turns LIVE by an item of its own in the same entry, which every member finds in its inbox", async () => {
    const { fixture, instance, channelId, ids, send, inboxOf } = await setUp({ members: 100 });
    const copied = send("u0001", "copied");
    const join = instance.call("joe", method.joinGroup, ids());
    await Promise.all([copied, join, send("joe", "first")]);
    await send("ann", "live");
    const { channel } = await instance.call("ann", method.getChannel, { channelId });
    expect(channel).toMatchObject({ mode: DeliveryMode.LIVE, memberCount: 101 });
    const entries = await fixture.entriesOf(channelId);
    const kinds = entries.map(({ items }) =>
      items.map(({ item }) => (item.case === "message" ? item.value.body.case : item.case)),
    );
    expect(kinds).toEqual([
      ["membershipChange"],
      ["text", "membershipChange", "channelChange", "text"],
      ["text"],
    ]);
    await fixture.work();
    const before = ["membershipChange", "copied", "membershipChange", "channelChange"];
    expect(await inboxOf("u0099")).toEqual(before);
    expect(await inboxOf("joe")).toEqual(before.slice(2));
    const sync = { positions: [{ channelId, channelSequence: 4 }] };
    const { updates } = await instance.call("joe", method.syncChannels, sync);
    expect(updates[0]!.messages.map(({ body }) => body.value)).toEqual(["first", "live"]);
  });

  it("is told of once to those who follow it, with the sequence of the entry before", async () => {
    const { fixture, channelId, send } = await setUp();
    const heard: { texts: unknown[]; span: number[] }[] = [];
    let last = 0;
    await fixture.streams.subscribeLog(channelId, ({ data, sequence, prevSequence }) => {
      if (last > 0) expect(prevSequence).toBe(last);
      last = sequence;
      const { items, ...batch } = readChannelBatch(data);
      const texts = items.map(({ item }) => item.value!.$typeName);
      heard.push({ texts, span: [batch.prevSequence, batch.sequence] });
    });
    for (const text of ["1", "2", "3"]) await send("u0001", text);
    await fixture.work();
    expect(heard.map(({ span }) => span)).toEqual([
      [1, 3],
      [3, 4],
      [4, 5],
      [5, 6],
    ]);
  });

  it("[S2] gives devices the comings and goings of before, and of after it the user's own", async () => {
    const { fixture, instance, channelId, ids, send, add } = await setUp({ members: 100 });
    const remove = (userId: string) =>
      instance.call("ann", method.removeMember, { ...ids(), userId });
    await remove("u0001");
    await add("zoe", "u0001");
    await remove("u0002");
    await add("joe");
    await remove("joe");
    await add("u0002");
    await send("ann", "hello");
    const sync = { positions: [{ channelId, channelSequence: 1 }] };
    const lacked = async (userId: string) => {
      const { updates } = await instance.call(userId, method.syncChannels, sync);
      expect(updates[0]).toMatchObject({ state: State.CURRENT, channelSequence: 9 });
      return updates[0]!.messages.map(({ channelSequence }) => channelSequence);
    };
    for (const persisted of [false, true]) {
      if (persisted) await fixture.work();
      expect(await lacked("u0003")).toEqual([2, 3, 4, 9]);
      expect(await lacked("u0002")).toEqual([2, 3, 4, 5, 8, 9]);
    }
  });

  it("[G4] tells members of their own coming and going in their own inboxes alone", async () => {
    const { fixture, instance, ids, inboxOf, add } = await setUp();
    await add("joe");
    await instance.call("ann", method.removeMember, { ...ids(), userId: "joe" });
    await instance.call("u0005", method.leaveGroup, ids());
    await fixture.work();
    expect(await inboxOf("joe")).toEqual(["membershipChange", "membershipChange"]);
    expect(await inboxOf("u0006")).toHaveLength(3);
    expect(await inboxOf("u0005")).toHaveLength(4);
  });
});

describe("[G3] a LIVE group", () => {
  it.each([true, false])(
    "lets members send and nobody else, from any instance (persisted: %s)",
    async (persisted) => {
      const { fixture, instance, ids, send, add } = await setUp();
      if (persisted) await fixture.work();
      await add("joe");
      await instance.call("ann", method.removeMember, { ...ids(), userId: "u0001" });
      const other = fixture.instance();
      await send("joe", "hello", other);
      await send("u0100", "hello", other);
      for (const userId of ["u0001", "eve"]) {
        await expect(send(userId, "no", other)).rejects.toEqual(refused("NOT_A_MEMBER"));
      }
      await expect(add("joe", "u0002")).resolves.toMatchObject({ channel: { memberCount: 101 } });
      await add("u0001");
      await send("u0001", "back", other);
    },
  );

  it.each([true, false])(
    "[M9] has texts that are answered, mention members and change (persisted: %s)",
    async (persisted) => {
      const { fixture, instance, channelId, ids, send } = await setUp();
      const { messageId } = await send("u0001", "hello @u0002 and @eve");
      if (persisted) await fixture.work();
      const other = fixture.instance();
      const about = () => ({ ...ids(), messageId });
      const emoji = "👍";
      await other.call("u0002", method.addReaction, { ...about(), emoji });
      await other.call("u0001", method.editMessage, { ...about(), text: "hello @u0003" });
      const reply = { ...ids(), text: "hello", replyToMessageId: messageId };
      await other.call("u0002", method.sendMessage, reply);
      const sync = { positions: [{ channelId, channelSequence: 4 }] };
      const { updates } = await instance.call("u0050", method.syncChannels, sync);
      const [update] = updates;
      expect(update).toMatchObject({ state: State.CURRENT, channelSequence: 7 });
      expect(update!.revisedMessages).toMatchObject([
        { messageId, body: { value: "hello @u0003" }, mentionedUserIds: ["u0003"] },
      ]);
      expect(update!.revisedMessages[0]!.reactions).toMatchObject([{ emoji, userIds: ["u0002"] }]);
      expect(update!.messages).toMatchObject([{ replyToMessageId: messageId }]);
      const edit = { ...about(), text: "mine" };
      const deletion = (userId: string) => other.call(userId, method.deleteMessage, about());
      await expect(other.call("u0004", method.editMessage, edit)).rejects.toEqual(
        refused("NOT_THE_SENDER"),
      );
      await expect(deletion("u0004")).rejects.toEqual(refused("NOT_THE_SENDER"));
      // Who came after it may not answer or change it.
      await other.call("zoe", method.joinGroup, ids());
      for (const call of [
        other.call("zoe", method.addReaction, { ...about(), emoji }),
        other.call("zoe", method.sendMessage, { ...reply, ...ids() }),
      ]) {
        await expect(call).rejects.toEqual(refused("MESSAGE_NOT_FOUND"));
      }
      await deletion("ann");
      const { messages } = await other.call("u0050", method.listMessages, { channelId });
      expect(messages.find((each) => each.messageId === messageId)).toMatchObject({
        body: { case: undefined },
        reactions: [],
      });
    },
  );

  it("has its owner and admins in its snapshots, and no other member", async () => {
    const { fixture, instance, channelId, ids, send } = await setUp();
    const role = { ...ids(), userId: "u0007", role: MemberRole.ADMIN };
    await instance.call("ann", method.setMemberRole, role);
    await fixture.work();
    // Nothing is left of it in the log but what comes after; the snapshot is made from the store.
    await fixture.pass(8 * 24 * 3_600_000);
    await fixture.work();
    const other = fixture.instance();
    await send("u0050", "after a week", other);
    const { snapshot } = (await fixture.entriesOf(channelId)).at(-1)!;
    expect(snapshot!.members.map(({ userId }) => userId).sort()).toEqual(["ann", "u0007"]);
    const removal = { ...ids(), userId: "u0008" };
    await other.call("u0007", method.removeMember, removal);
    await expect(send("u0008", "no", other)).rejects.toEqual(refused("NOT_A_MEMBER"));
  });

  it("[G1] lists its members as they are now, persisted or not", async () => {
    const { fixture, instance, ids, add, listed } = await setUp();
    await fixture.work();
    await add("a-late".replace("-", ""), "zoe");
    await instance.call("ann", method.removeMember, { ...ids(), userId: "u0042" });
    const expected = [
      "alate",
      "ann",
      ...names(1, 101).filter((id) => id !== "u0042"),
      "zoe",
    ].sort();
    expect(await listed()).toEqual(expected);
    expect(await listed(fixture.instance())).toEqual(expected);
    await fixture.work();
    expect(await listed(fixture.instance())).toEqual(expected);
  });

  it("[G4] knows who left before the turn, also where the store does not yet", async () => {
    const { fixture, instance, ids, add, listed } = await setUp({ members: 100 });
    await fixture.work();
    await instance.call("u0042", method.leaveGroup, ids());
    await add("zoe", "zac", "zeb", "zed");
    expect((await add("u0042")).channel!.memberCount).toBe(104);
    await fixture.work();
    expect(await listed(fixture.instance())).toContain("u0042");
  });

  it("[R2] goes on for those who are known where the store is away, and says so to others", async () => {
    const { fixture, send } = await setUp();
    await fixture.work();
    const other = fixture.instance();
    await send("u0001", "known now", other);
    fixture.storeFaults.chances.readFails = 1;
    await send("u0001", "still", other);
    await send("ann", "owner", other);
    await expect(send("eve", "who?", other)).rejects.toEqual(refused("UNAVAILABLE"));
  });

  it.each([true, false])(
    "[G1] passes to an admin when its owner leaves, else to the longest-standing member (persisted: %s)",
    async (persisted) => {
      const { fixture, instance, channelId, ids } = await setUp();
      await fixture.work();
      const leave = (userId: string) => instance.call(userId, method.leaveGroup, ids());
      await leave("u0001");
      const role = { ...ids(), userId: "u0007", role: MemberRole.ADMIN };
      await instance.call("ann", method.setMemberRole, role);
      if (persisted) await fixture.work();
      await leave("ann");
      const again = ids();
      await instance.call("u0007", method.leaveGroup, again);
      await instance.call("u0007", method.leaveGroup, again);
      if (persisted) await fixture.work();
      const owners = async (from: MessageInstance) => {
        const page = await from.call("u0050", method.listMembers, { channelId, pageSize: 1_000 });
        return page.members
          .filter(({ role }) => role > MemberRole.MEMBER)
          .map(({ userId }) => userId);
      };
      expect(await owners(instance)).toEqual(["u0002"]);
      await leave("u0002");
      expect(await owners(fixture.instance())).toEqual(["u0003"]);
    },
  );

  it("[G1] that all have left is owned by who joins it next", async () => {
    const { instance, channelId, ids } = await setUp();
    for (const userId of [...names(1, 101), "ann"]) {
      await instance.call(userId, method.leaveGroup, ids());
    }
    await instance.call("dan", method.joinGroup, ids());
    const { members } = await instance.call("dan", method.listMembers, { channelId });
    expect(members).toMatchObject([{ userId: "dan", role: MemberRole.OWNER }]);
  });

  it("[G4] gives a former member what was sent during the stay", async () => {
    const { fixture, instance, channelId, ids, send } = await setUp();
    await send("ann", "before");
    await instance.call("ann", method.removeMember, { ...ids(), userId: "u0003" });
    await send("ann", "after");
    await fixture.work();
    const other = fixture.instance();
    const sync = { positions: [{ channelId, channelSequence: 3 }] };
    const { updates } = await other.call("u0003", method.syncChannels, sync);
    expect(updates[0]).toMatchObject({ state: State.CURRENT, member: false });
    const cases = updates[0]!.messages.map(({ body }) => body.case);
    // What follows is that it is over.
    expect(cases).toEqual(["text", "membershipChange"]);
  });
});
