/** What a client reads where its inbox does not tell what it lacks: rebuilding, and checks. */
import { describe, expect, it } from "vitest";
import { MembershipChange_Kind as ChangeKind } from "../../gen/parley/message/v1/message_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { connected, openFixture, settled } from "./client-fixture.ts";
import { FakeEdge, me } from "./edge-fake.ts";

const channelId = "d-ann-bob";

async function start(options: Parameters<typeof openFixture>[2] = {}) {
  const edge = new FakeEdge();
  const clock = new ManualClock();
  edge.serverTimeMs = clock.nowMs();
  const fixture = await connected(await openFixture(edge, clock, options));
  edge.createChannel(channelId);
  await settled();
  return { edge, clock, ...fixture };
}

describe("ParleyClient, beside its inbox,", () => {
  it("[S4] a channel that the user was put back into while away is rebuilt too", async () => {
    const { edge, texts, pass } = await start({ checkIntervalMs: 0 });
    edge.createChannel("g-1");
    edge.membership("g-1", ChangeKind.REMOVED, [me]);
    await pass(3_000);
    edge.cut();
    edge.membership("g-1", ChangeKind.ADDED, [me]);
    edge.text("g-1", "welcome back");
    edge.trimmedTo = edge.inbox.length;
    await pass(3_000);
    expect(texts("g-1")).toEqual(["welcome back"]);
  });

  it("[S4] rebuilds from the history what the inbox no longer holds", async () => {
    const { edge, texts, events, pass } = await start({ checkIntervalMs: 0 });
    edge.text(channelId, "1");
    await pass(3_000);
    edge.cut();
    edge.text(channelId, "2");
    edge.createChannel("g-new");
    edge.text("g-new", "old news");
    edge.trimmedTo = edge.inbox.length;
    await pass(3_000);
    edge.text(channelId, "3");
    edge.text("g-new", "news");
    await pass(3_000);
    expect(texts(channelId)).toEqual(["1", "2", "3"]);
    expect(texts("g-new")).toEqual(["news"]);
    const names = events.map(({ name }) => name);
    expect(names.slice(names.lastIndexOf("reset"))).toEqual(
      expect.arrayContaining(["reset", "baseline", "rebuilt"]),
    );
    expect(edge.frames.findLast((frame) => frame.case === "ack")?.value).toMatchObject({
      inboxSequence: 7n,
    });
  });

  it("[S4] keeps its old position until the rebuilding is done", async () => {
    const { edge, texts, pass } = await start({ checkIntervalMs: 0 });
    edge.text(channelId, "1");
    await pass(3_000);
    edge.cut();
    const missed = edge.text(channelId, "2");
    edge.trimmedTo = edge.inbox.length;
    edge.degradedBelow = missed.messageId + 1n;
    await pass(5_000);
    edge.cut();
    edge.degradedBelow = 0n;
    await pass(35_000);
    const [before, after] = edge.hellos.slice(-2);
    expect(after?.inboxSequence).toBe(before?.inboxSequence);
    expect(texts(channelId)).toEqual(["1", "2"]);
  });

  it("[S4] begins anew at the newest page where it lacks too much", async () => {
    const { edge, texts, client, events, pass } = await start({ checkIntervalMs: 0 });
    edge.text(channelId, "before");
    await pass(3_000);
    edge.cut();
    edge.updateMax = 299;
    const missed = Array.from({ length: 300 }, (_, i) => edge.text(channelId, `${i}`));
    edge.trimmedTo = edge.inbox.length;
    await pass(3_000);
    edge.text(channelId, "after");
    await settled();
    const page = missed.slice(-200);
    const newest = [...page.map(({ body }) => body.value), "after"];
    expect(texts(channelId)).toEqual(["before", ...newest]);
    const messageId = page[0]!.prevMessageId;
    expect(events).toContainEqual({ name: "baseline", value: { channelId, messageId } });
    const recent = client.recent(channelId).map(({ body }) => body.value);
    expect(recent).toEqual(newest.slice(-recent.length));
    const newestFirst = ["ListMessages", "ListRevisedMessages", "ListMessages"];
    expect(edge.calls.slice(-5)).toEqual(["ListChannels", "SyncChannels", ...newestFirst]);
  });

  it("[S4] brings all channels up to date in one exchange", async () => {
    const { edge, texts, pass } = await start({ checkIntervalMs: 0 });
    const ids = Array.from({ length: 30 }, (_, i) => `g-${i}`);
    for (const id of ids) edge.createChannel(id);
    await pass(3_000);
    edge.cut();
    for (const id of ids) for (const text of ["1", "2"]) edge.text(id, text);
    edge.trimmedTo = edge.inbox.length;
    await pass(3_000);
    for (const id of ids) expect(texts(id)).toEqual(["1", "2"]);
    expect(edge.calls.slice(-2)).toEqual(["ListChannels", "SyncChannels"]);
  });

  it("[S5] finds channels that the inbox never announced, and those that it never ended", async () => {
    const { edge, client, texts, pass } = await start({ checkIntervalMs: 60_000 });
    edge.createChannel("g-ended");
    edge.channels.set("g-never", []);
    edge.text("g-never", "old", { skipInbox: true });
    await pass(5_000);
    const member = (channelId: string) =>
      client.knownChannels.find((channel) => channel.channelId === channelId)?.member;
    expect(member("g-never")).toBeUndefined();
    edge.membership("g-ended", ChangeKind.REMOVED, [me], { skipInbox: true });
    edge.unlisted.add("g-ended");
    await pass(90_000);
    expect([member("g-never"), member("g-ended"), member(channelId)]).toEqual([true, false, true]);
    edge.text("g-never", "new");
    await settled();
    expect(texts("g-never")).toEqual(["new"]);
  });

  it("[S5] what a check has told of a new device's channel the inbox does not tell again", async () => {
    const edge = new FakeEdge();
    const fixture = await openFixture(edge, new ManualClock());
    edge.channels.set("g-1", []);
    edge.text("g-1", "old", { skipInbox: true });
    await connected(fixture);
    const late = edge.text("g-1", "new", { skipInbox: true });
    await fixture.pass(3_000);
    edge.deliver(late);
    await settled();
    expect(fixture.texts("g-1")).toEqual(["new"]);
  });

  it("[S5] finds at its next check what the inbox never had", async () => {
    const { edge, texts, pass } = await start({ checkIntervalMs: 60_000 });
    await pass(5_000);
    edge.text(channelId, "1");
    edge.text(channelId, "2", { skipInbox: true });
    await pass(30_000);
    expect(texts(channelId)).toEqual(["1"]);
    await pass(60_000);
    expect(texts(channelId)).toEqual(["1", "2"]);
  });

  it("[S5] checks after every reconnection", async () => {
    const { edge, texts, pass } = await start();
    edge.text(channelId, "1", { skipInbox: true });
    edge.cut();
    await pass(3_000);
    expect(texts(channelId)).toEqual(["1"]);
  });
});
