/** The end of a group, COPY and LIVE alike. */
import { fromBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { InboxEntrySchema } from "../../../gen/parley/log/v1/log_pb.js";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { ChannelUpdateState as State } from "../../../gen/parley/message/v1/sync_pb.js";
import { MessageFixture, type MessageInstance } from "../message-fixture.ts";

const { method } = MessageService;
const refused = (reason: string) => expect.objectContaining({ reason });
const deleted = refused("CHANNEL_DELETED");

/** A public group of ann (its owner), ben and others, with a text; cem was removed from it. */
async function setUp(size: number) {
  const fixture = new MessageFixture();
  let instance = fixture.instance();
  const { channel } = await instance.call("ann", method.createGroup, {
    clientMessageId: fixture.clientId(),
    name: "group",
    userIds: ["ben", "cem"],
    public: true,
  });
  const { channelId } = channel!;
  const ids = () => ({ channelId, clientMessageId: fixture.clientId() });
  const send = (userId: string, text = "hello", from = instance) =>
    from.call(userId, method.sendMessage, { ...ids(), text });
  const remove = (from: MessageInstance, request = ids()) =>
    from.call("ann", method.deleteChannel, request);
  const userIds = Array.from({ length: size - 3 }, (_, n) => `u${n + 100}`);
  if (size > 3) await instance.call("ann", method.addMembers, { ...ids(), userIds });
  const { inviteToken } = await instance.call("ann", method.createInviteLink, ids());
  const { messageId } = await send("ben", "hello @ann");
  await instance.call("ann", method.removeMember, { ...ids(), userId: "cem" });
  /** Everything that tells a user something of the channel. */
  const reads = (userId: string): Promise<unknown>[] => [
    instance.call(userId, method.listMessages, { channelId }),
    instance.call(userId, method.searchMessages, { channelId, query: "hello" }),
    instance.call(userId, method.listRevisedMessages, { channelId }),
    instance.call(userId, method.listReactions, { channelId, messageId }),
  ];
  const forget = async () => {
    await fixture.work();
    await fixture.pass(8 * 24 * 3_600_000);
    await fixture.work();
    expect(await fixture.entriesOf(channelId)).toEqual([]);
    instance = fixture.instance();
  };
  const call = ((...args) => instance.call(...args)) as typeof instance.call;
  return { fixture, instance, call, channelId, ids, send, remove, inviteToken, reads, forget };
}

describe.each([
  ["COPY", 3],
  ["LIVE", 102],
])("a %s group that is deleted", (_, size) => {
  it.each([false, true])(
    "[G1] [G4] is nobody's any more (known to the store alone: %s)",
    async (isForgotten) => {
      const { instance, call, channelId, ids, send, remove, inviteToken, reads, ...more } =
        await setUp(size);
      const { channel } = await remove(instance);
      expect(channel).toMatchObject({ deleteTime: expect.anything(), name: "group" });
      if (isForgotten) await more.forget();
      for (const call of [...reads("ben"), ...reads("cem")]) {
        await expect(call).rejects.toEqual(deleted);
      }
      await expect(send("ben", "too late", more.fixture.instance())).rejects.toEqual(deleted);
      await expect(call("ben", method.sendTyping, { channelId })).rejects.toEqual(deleted);
      for (const call of reads("eve")) await expect(call).rejects.toEqual(refused("NOT_A_MEMBER"));
      await expect(call("cem", method.joinGroup, ids())).rejects.toEqual(refused("NOT_PUBLIC"));
      await expect(call("eve", method.joinGroup, { ...ids(), inviteToken })).rejects.toEqual(
        refused("INVITE_LINK_INVALID"),
      );
      const sync = { positions: [{ channelId, channelSequence: 1 }] };
      const states = async (userId: string) =>
        (await call(userId, method.syncChannels, sync)).updates.map(({ state }) => state);
      expect(await states("ben")).toEqual([State.DELETED]);
      expect(await states("eve")).toEqual([State.NOT_A_MEMBER]);
    },
  );

  it("[G1] is in nobody's lists, searches and cursors", async () => {
    const { fixture, instance, call, remove } = await setUp(size);
    await fixture.work();
    expect((await call("ann", method.listMentions, {})).messages).toHaveLength(1);
    await remove(instance);
    await fixture.work();
    expect((await call("ann", method.listChannels, {})).channels).toEqual([]);
    expect((await call("ben", method.listChangedCursors, {})).channels).toEqual([]);
    for (const userId of ["ann", "cem"]) {
      const search = await call(userId, method.searchMessages, { query: "hello" });
      expect(search).toMatchObject({ hits: [], degraded: false });
    }
    expect((await call("ann", method.listMentions, {})).messages).toEqual([]);
  });

  it("[M5] is deleted once, whoever is asked, and answers the same request as the first time", async () => {
    const { fixture, instance, channelId, ids, remove } = await setUp(size);
    const request = ids();
    const [one, two] = [fixture.instance(), fixture.instance()];
    const answers = await Promise.allSettled([
      remove(one, request),
      remove(two, request),
      remove(instance),
    ]);
    const reasons = answers.map((answer) =>
      answer.status === "fulfilled" ? "deleted" : answer.reason.reason,
    );
    expect(reasons.filter((reason) => reason === "deleted").length).toBeGreaterThan(0);
    expect([...new Set(reasons)].sort()).toEqual(["CHANNEL_DELETED", "deleted"]);
    const ends = (await fixture.entriesOf(channelId)).flatMap(({ items }) =>
      items.filter(({ item }) => item.value && "body" in item.value && isEnd(item.value.body)),
    );
    expect(ends).toHaveLength(1);
    await expect(remove(instance)).rejects.toEqual(deleted);
  });

  it("[M5] [G4] has its deletion as its last item, after what was accepted before it by any instance", async () => {
    const { fixture, channelId, send, remove } = await setUp(size);
    const [one, two] = [fixture.instance(), fixture.instance()];
    const sends = Array.from({ length: 20 }, (_, n) => send("ben", `text ${n}`, n % 2 ? one : two));
    const [outcomes] = await Promise.all([
      Promise.allSettled([...sends.slice(0, 10), remove(two), ...sends.slice(10)]),
      remove(one).catch(() => {}),
    ]);
    const bodies = (await fixture.entriesOf(channelId)).flatMap(({ items }) =>
      items.flatMap(({ item }) => (item.case === "message" ? item.value.body : [])),
    );
    expect(bodies.findIndex(isEnd)).toBe(bodies.length - 1);
    const accepted = outcomes.filter(
      ({ status, ...rest }) =>
        status === "fulfilled" && "value" in rest && "messageId" in rest.value,
    );
    expect(bodies.filter(({ value }) => `${value}`.startsWith("text"))).toHaveLength(
      accepted.length,
    );
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") expect(outcome.reason).toEqual(deleted);
    }
  });
});

it("[G2] a COPY group's members find its deletion in their inboxes, and nothing after it", async () => {
  const { fixture, instance, call, ids, remove, send } = await setUp(3);
  await remove(instance);
  await send("ben", "late").catch(() => {});
  await call("ben", method.sendTyping, { channelId: ids().channelId }).catch(() => {});
  await fixture.work();
  for (const userId of ["ann", "ben"]) {
    const { entries } = await fixture.streams.inbox.read(userId);
    const items = entries.flatMap(({ data }) => fromBinary(InboxEntrySchema, data).items);
    expect(items.at(-1)).toMatchObject({
      item: { value: { senderId: "ann", body: { value: { change: { case: "deletion" } } } } },
    });
  }
});

function isEnd({ case: kind, value }: { case?: string | undefined; value?: unknown }): boolean {
  return (
    kind === "channelChange" && (value as { change: { case: string } }).change.case === "deletion"
  );
}
