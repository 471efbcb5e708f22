import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { connected, openFixture, settled } from "./client-fixture.ts";
import { MemoryClientStore } from "./client-store.ts";
import { FakeEdge } from "./edge-fake.ts";
import { errorReason } from "./errors.ts";
import { queuedSendsMax } from "./resend-queue.ts";
import { uuidV7TimeMs } from "./uuid-v7.ts";

const channelId = "d-ann-bob";

async function start(options: Parameters<typeof openFixture>[2] = {}) {
  const edge = new FakeEdge();
  const clock = new ManualClock();
  edge.createChannel(channelId);
  const fixture = await connected(await openFixture(edge, clock, options));
  const stored = (id = channelId) =>
    edge.channels
      .get(id)!
      .filter(({ body }) => body.case === "text")
      .map(({ body }) => body.value);
  return { edge, clock, stored, ...fixture };
}

const unavailable = { code: Code.Unavailable, reason: "UNAVAILABLE", message: "away" };

describe("sending", () => {
  it("[M5] a text whose answer is lost is sent again and stored once", async () => {
    const { edge, client, stored, pass } = await start();
    edge.lostAnswers = 1;
    const { result } = client.send(channelId, "hello");
    await pass(2_000);
    expect(await result).toMatchObject({ channelSequence: 2 });
    expect(stored()).toEqual(["hello"]);
  });

  it("a text is acknowledged when it is seen in its channel, answer or not", async () => {
    const { edge, client, events } = await start();
    edge.swallowedAnswers = 1;
    const { clientMessageId, result } = client.send(channelId, "hello");
    expect(await result).toMatchObject({ channelSequence: 2 });
    await settled();
    expect(client.queuedSends).toEqual([]);
    expect(events).toContainEqual({
      name: "sent",
      value: expect.objectContaining({ clientMessageId, channelId }),
    });
  });

  it("keeps the order of a channel's texts, whatever is lost on the way", async () => {
    const { edge, client, stored, pass } = await start();
    edge.sendFaults = [
      { error: unavailable, stored: false },
      { error: { ...unavailable, code: Code.DeadlineExceeded }, stored: true },
    ];
    for (let i = 0; i < 5; i++) client.send(channelId, `${i}`);
    await settled();
    edge.cut();
    await pass(60_000);
    expect(stored()).toEqual(["0", "1", "2", "3", "4"]);
  });

  it("a channel that has to wait holds up no other", async () => {
    const { edge, client, stored, pass } = await start();
    edge.createChannel("d-ann-cy");
    edge.sendFaults = [{ error: { ...unavailable, retryAfterMs: 10_000 }, stored: false }];
    client.send(channelId, "first");
    client.send("d-ann-cy", "second");
    await settled();
    expect(stored()).toEqual([]);
    expect(stored("d-ann-cy")).toEqual(["second"]);
    await pass(9_000);
    expect(stored()).toEqual([]);
    await pass(2_000);
    expect(stored()).toEqual(["first"]);
  });

  it("a text that is refused for good fails, and the next one goes on", async () => {
    const { edge, client, stored, events } = await start();
    const error = { code: Code.PermissionDenied, reason: "NOT_A_MEMBER", message: "no" };
    edge.sendFaults = [{ error, stored: false }];
    const refused = client.send(channelId, "1");
    const accepted = client.send(channelId, "2");
    expect(errorReason(await refused.result.catch((error: unknown) => error))).toBe("NOT_A_MEMBER");
    await accepted.result;
    expect(stored()).toEqual(["2"]);
    expect(events.filter(({ name }) => name === "refused")).toHaveLength(1);
  });

  it("[R2] texts of a device whose clock was a day ahead are sent under new ids, in their order", async () => {
    const store = new MemoryClientStore();
    const edge = new FakeEdge();
    edge.createChannel(channelId);
    const clock = new ManualClock();
    edge.serverTimeMs = clock.nowMs() - 86_400_000;
    const { client, events } = await openFixture(edge, clock, { store });
    const sendings = ["1", "2", "3"].map((text) => client.send(channelId, text));
    const reason = "CLIENT_MESSAGE_ID_INVALID";
    const error = { code: Code.InvalidArgument, reason, message: "more than 1 minute ahead" };
    edge.sendFaults = [{ error, stored: false }];
    await client.connect();
    sendings.push(client.send(channelId, "4"));
    await Promise.all(sendings.map(({ result }) => result));
    const sent = edge.channels.get(channelId)!.slice(1);
    expect(sent.map(({ body }) => body.value)).toEqual(["1", "2", "3", "4"]);
    const ids = sent.map(({ clientMessageId }) => clientMessageId);
    expect([...ids].sort()).toEqual(ids);
    for (const id of ids) expect(uuidV7TimeMs(id) - edge.serverTimeMs).toBeLessThan(1_000);
    const renamed = events.filter(({ name }) => name === "renamed").map(({ value }) => value);
    expect(renamed).toEqual(
      sendings.map(({ clientMessageId }, i) => ({
        channelId,
        previousClientMessageId: clientMessageId,
        clientMessageId: ids[i],
      })),
    );
    expect(events.filter(({ name }) => name === "refused")).toEqual([]);
    await settled();
    expect([...(await store.readAll())].filter(([key]) => key.startsWith("send/"))).toEqual([]);
  });

  it("[R2] a text whose id is refused as too old is refused for good: it may be stored", async () => {
    const { edge, clock, client, stored, pass } = await start();
    const reason = "CLIENT_MESSAGE_ID_INVALID";
    const error = { code: Code.InvalidArgument, reason, message: "no" };
    edge.serverTimeMs = clock.nowMs() + 86_400_000;
    edge.cut();
    const old = client.send(channelId, "old");
    edge.sendFaults = [{ error, stored: false }];
    await pass(2_000);
    await expect(old.result).rejects.toThrow("no");
    expect(stored()).toEqual([]);
  });

  it("a server's fault is tried five times", async () => {
    const { edge, client, stored, pass } = await start();
    const error = { code: Code.Internal, reason: "INTERNAL", message: "internal error" };
    edge.sendFaults = Array.from({ length: 5 }, () => ({ error, stored: false }));
    const refused = client.send(channelId, "1");
    client.send(channelId, "2");
    await pass(60_000);
    await expect(refused.result).rejects.toThrow("internal error");
    expect(client.resends).toBe(4);
    expect(stored()).toEqual(["2"]);
  });

  it("what is sent without a connection goes out with the next one", async () => {
    const { edge, client, stored, pass } = await start();
    edge.down = true;
    edge.cut();
    client.send(channelId, "1");
    client.send(channelId, "2");
    await pass(10_000);
    expect(client.queuedSends.map(({ text }) => text)).toEqual(["1", "2"]);
    edge.down = false;
    await pass(31_000);
    expect(stored()).toEqual(["1", "2"]);
  });

  it("what was not acknowledged is sent by the next run, in the same order", async () => {
    const store = new MemoryClientStore();
    const { edge, clock, client, stored } = await start({ store });
    edge.down = true;
    edge.cut();
    const { result } = client.send(channelId, "1");
    for (let i = 2; i <= 9; i++) client.send(channelId, `${i}`);
    await client.close();
    await expect(result).rejects.toThrow("closed by the app");
    edge.down = false;
    const next = await connected(await openFixture(edge, clock, { store }));
    next.client.send(channelId, "10");
    await settled();
    expect(stored()).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    expect([...(await store.readAll())].filter(([key]) => key.startsWith("send/"))).toEqual([]);
  });

  it("refuses a text when too many wait", async () => {
    const { edge, client } = await start();
    edge.down = true;
    edge.cut();
    for (let i = 0; i < queuedSendsMax; i++) client.send(channelId, "x");
    expect(() => client.send(channelId, "x")).toThrow("1000 texts are waiting");
  });

  it("[M2] refuses an empty text and one of 100,000 code points before it is sent", async () => {
    const { client, stored } = await start();
    const longest = "😀".repeat(99_999);
    await client.send(channelId, longest).result;
    expect(stored()).toEqual([longest]);
    expect(() => client.send(channelId, "")).toThrow("the text is empty");
    expect(() => client.send(channelId, `${longest}x`)).toThrow("100000 code points");
  });
});
