import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { connected, openFixture, settled } from "./client-fixture.ts";
import { MemoryClientStore } from "./client-store.ts";
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

describe("ParleyClient", () => {
  it("[S2] tells of each message once and in order, live and after an absence", async () => {
    const { edge, texts, pass } = await start();
    edge.text(channelId, "1");
    await settled();
    edge.cut();
    edge.text(channelId, "2");
    edge.text(channelId, "3");
    await pass(2_000);
    edge.text(channelId, "4");
    await settled();
    expect(texts(channelId)).toEqual(["1", "2", "3", "4"]);
    expect(edge.hellos.at(-1)).toMatchObject({ inboxEpoch: "e1", inboxSequence: 2n });
  });

  it("[S1] tells of what the user sends from another device", async () => {
    const { edge, texts } = await start();
    edge.text(channelId, "from the laptop", { senderId: me });
    await settled();
    expect(texts(channelId)).toEqual(["from the laptop"]);
  });

  it("[S3] fetches what is missing before it tells of what follows", async () => {
    const { edge, client, texts } = await start();
    edge.text(channelId, "1");
    edge.text(channelId, "2", { skipInbox: true });
    edge.text(channelId, "3", { skipInbox: true });
    edge.text(channelId, "4");
    edge.text(channelId, "5");
    await settled();
    expect(texts(channelId)).toEqual(["1", "2", "3", "4", "5"]);
    expect(client.knownChannels[0]).toMatchObject({ gaps: 1, repaired: 2 });
  });

  it("fetches a text that the inbox left out", async () => {
    const { edge, texts } = await start();
    edge.text(channelId, "large", { withoutBody: true });
    edge.text(channelId, "small");
    await settled();
    expect(texts(channelId)).toEqual(["large", "small"]);
  });

  it("[X1] [X2] tells of a body of a kind that it does not know in its place, and goes on", async () => {
    const { edge, client, messages } = await start();
    edge.text(channelId, "1");
    edge.later(channelId);
    edge.later(channelId, { skipInbox: true });
    edge.text(channelId, "2");
    await settled();
    const kinds = messages.map(({ body }) => body.case);
    expect(kinds.slice(-4)).toEqual(["text", undefined, undefined, "text"]);
    expect(client.recent(channelId).slice(-4)).toEqual(messages.slice(-4));
  });

  it("drops repetitions", async () => {
    const { edge, client, texts } = await start();
    const message = edge.text(channelId, "1");
    edge.deliver(message, message);
    await settled();
    expect(texts(channelId)).toEqual(["1"]);
    expect(client.knownChannels[0]?.duplicates).toBe(2);
  });

  it("[S3] reads a gap of many pages, with more held back than it keeps", async () => {
    const { edge, texts } = await start();
    for (let i = 0; i < 450; i++) edge.text(channelId, `${i}`, { skipInbox: i < 100 });
    await settled();
    expect(texts(channelId)).toEqual(Array.from({ length: 450 }, (_, i) => `${i}`));
  });

  it("[S3] holds back while the history is incomplete, and acknowledges nothing beyond", async () => {
    const { edge, texts, pass, client } = await start();
    edge.text(channelId, "1");
    const lost = edge.text(channelId, "2", { skipInbox: true });
    edge.degradedBelow = lost.messageId + 1n;
    edge.text(channelId, "3");
    await pass(5_000);
    expect(texts(channelId)).toEqual(["1"]);
    const acks = edge.frames.filter((frame) => frame.case === "ack");
    expect(acks.at(-1)?.value.inboxSequence).toBe(2n);
    edge.degradedBelow = 0n;
    await pass(31_000);
    expect(texts(channelId)).toEqual(["1", "2", "3"]);
    expect(client.knownChannels[0]?.repaired).toBe(1);
    expect(edge.frames.findLast((frame) => frame.case === "ack")?.value).toMatchObject({
      inboxSequence: 3n,
      curMaxMessageId: edge.channels.get(channelId)!.at(-1)!.messageId,
    });
  });

  it("goes on without a message that the history does not give back", async () => {
    const { edge, texts, pass } = await start();
    const lost = edge.text(channelId, "1", { withoutBody: true });
    edge.hidden.add(lost.messageId);
    await pass(120_000);
    edge.text(channelId, "2");
    await pass(1_000);
    expect(texts(channelId)).toEqual(["2"]);
  });

  it("a channel first heard of in the middle begins there and says so", async () => {
    const { edge, texts, events } = await start();
    edge.channels.set("g-1", []);
    const first = edge.text("g-1", "before", { skipInbox: true });
    edge.text("g-1", "after");
    await settled();
    expect(texts("g-1")).toEqual(["after"]);
    const baselines = events.filter(({ name }) => name === "baseline");
    expect(baselines).toEqual([
      { name: "baseline", value: { channelId: "g-1", messageId: first.messageId } },
    ]);
  });

  it("a new device misses nothing of a channel that is created while it looks for channels", async () => {
    const edge = new FakeEdge();
    const fixture = await openFixture(edge, new ManualClock());
    edge.channels.set("g-1", []);
    edge.channels.set("g-old", []);
    edge.text("g-old", "old", { skipInbox: true });
    const first = edge.text("g-1", "1", { skipInbox: true });
    const second = edge.text("g-1", "2", { skipInbox: true });
    await connected(fixture);
    edge.deliver(first);
    edge.deliver(second);
    edge.text("g-old", "new");
    await settled();
    expect(fixture.texts("g-1")).toEqual(["1", "2"]);
    expect(fixture.texts("g-old")).toEqual(["new"]);
    const baselines = fixture.events.flatMap(({ name, value }) =>
      name === "baseline" && value.channelId === "g-1" ? [value.messageId] : [],
    );
    expect(baselines).toEqual([second.messageId, 0n]);
  });

  it("reconnects rather than go on over a hole in the inbox", async () => {
    const { edge, texts, pass } = await start();
    const message = edge.text(channelId, "1", { skipInbox: true });
    edge.broadcast({
      case: "deliveries",
      value: { deliveries: [{ inboxSequence: 9n, prevInboxSequence: 8n }] },
    });
    await pass(2_000);
    edge.deliver(message);
    await settled();
    expect(edge.hellos).toHaveLength(2);
    expect(texts(channelId)).toEqual(["1"]);
  });

  it("goes on where an earlier run ended, with the same store", async () => {
    const store = new MemoryClientStore();
    const { edge, clock, client, messages } = await start({ store });
    edge.text(channelId, "1");
    await settled();
    await client.close();
    edge.text(channelId, "2");
    const second = await connected(await openFixture(edge, clock, { store }));
    await settled();
    expect(messages.map(({ body }) => body.value)).toContain("1");
    expect(second.texts(channelId)).toEqual(["2"]);
  });

  it("[K3] has its newest messages at hand when it starts again, before it connects", async () => {
    const store = new MemoryClientStore();
    const { edge, clock, client, pass } = await start({ store });
    for (const text of ["1", "2"]) edge.text(channelId, text);
    await pass(3_000);
    await client.close();
    const calls = edge.calls.length;
    edge.text(channelId, "3");
    const second = await openFixture(edge, clock, { store });
    const recent = () => second.client.recent(channelId).map(({ body }) => body.value);
    expect(second.client.knownChannels.map((channel) => channel.channelId)).toEqual([channelId]);
    expect(second.client.channel(channelId)?.name).toBe(`name of ${channelId}`);
    expect(recent().slice(1)).toEqual(["1", "2"]);
    await connected(second);
    expect(recent().slice(1)).toEqual(["1", "2", "3"]);
    // Only what is new was sent: nothing of it was asked for.
    expect(second.texts(channelId)).toEqual(["3"]);
    expect(edge.calls).toHaveLength(calls);
  });

  it("does not use what another user left in the store", async () => {
    const store = new MemoryClientStore();
    await store.write(
      new Map([
        ["user", "someone-else"],
        ["position", '["e1","1","5"]'],
        ["send/0", '["d-ann-bob","not mine","0"]'],
      ]),
    );
    const { edge, texts } = await start({ store });
    expect(edge.hellos[0]).toMatchObject({ inboxEpoch: "", inboxSequence: 0n });
    expect(texts(channelId)).toEqual([]);
    expect([...(await store.readAll())].filter(([key]) => key.startsWith("send/"))).toEqual([]);
  });

  it("goes on in memory when its store fails, and says so", async () => {
    const store = new MemoryClientStore();
    store.write = () => Promise.reject(new Error("disk full"));
    const { edge, client, texts, events } = await start({ store });
    await client.send(channelId, "hello").result;
    await settled();
    expect(texts(channelId)).toEqual(["hello"]);
    expect(edge.channels.get(channelId)).toHaveLength(2);
    expect(events.some(({ name }) => name === "storeFailed")).toBe(true);
  });

  it("makes client ids by the edge's clock", async () => {
    const { edge, clock, client, pass } = await start();
    clock.stepWallClock(-7_200_000);
    edge.serverTimeMs = clock.nowMs() + 7_200_000;
    edge.cut();
    await pass(2_000);
    const id = client.newClientMessageId();
    const timeMs = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
    expect(Math.abs(timeMs - edge.serverTimeMs)).toBeLessThan(3_000);
  });

  it("a listener that throws stops nobody else", async () => {
    const { edge, client, texts } = await start();
    const thrown: unknown[] = [];
    const original = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", (error) => thrown.push(error));
    client.on("message", () => {
      throw new Error("the app's own");
    });
    edge.text(channelId, "1");
    edge.text(channelId, "2");
    await settled();
    process.removeAllListeners("uncaughtException");
    for (const listener of original) process.on("uncaughtException", listener);
    expect(texts(channelId)).toEqual(["1", "2"]);
    expect(thrown).toHaveLength(2);
  });

  it("[K3] has a channel's newest messages at hand, joined to a page of history", async () => {
    const { edge, client } = await start();
    edge.channels.set("g-1", []);
    for (const text of ["1", "2"]) edge.text("g-1", text, { skipInbox: true });
    for (const text of ["3", "4"]) edge.text("g-1", text);
    await settled();
    const recent = () => client.recent("g-1").map(({ body }) => body.value);
    expect(recent()).toEqual(["3", "4"]);
    await client.history("g-1");
    expect(recent()).toEqual(["1", "2", "3", "4"]);
    expect(client.recent("g-2")).toEqual([]);
  });

  it("calls any public method over the socket, and says why one fails", async () => {
    const { client } = await start();
    const failed = client.presence([me]);
    await expect(failed).rejects.toMatchObject({ code: Code.Unimplemented });
    const ids: string[] = [];
    for await (const channel of client.channels()) ids.push(channel.channelId);
    expect(ids).toEqual([channelId]);
    expect((await client.history(channelId)).messages).toHaveLength(1);
  });
});
