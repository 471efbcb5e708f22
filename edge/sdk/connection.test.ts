import { describe, expect, it } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { connected, openFixture, settled, signIn } from "./client-fixture.ts";
import { FakeEdge } from "./edge-fake.ts";
import { memoryTokenStore } from "./tokens.ts";

async function start(options: Parameters<typeof openFixture>[2] = {}) {
  const edge = new FakeEdge();
  const clock = new ManualClock();
  const fixture = await connected(await openFixture(edge, clock, options));
  return { edge, clock, ...fixture };
}

describe("the connection", () => {
  it("[K3] comes back after 1 s, 2 s … 30 s at most, times a random number", async () => {
    const { edge, events, pass } = await start();
    edge.down = true;
    edge.cut();
    await pass(120_000);
    const delays = events.flatMap(({ name, value }) =>
      name === "state" && value.status === "waiting" ? [value.delayMs] : [],
    );
    expect(delays.slice(0, 7)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  });

  it("[T2] goes on where it is welcomed once more without a break", async () => {
    const { edge, client, events, texts } = await start();
    edge.createChannel("g-1");
    edge.text("g-1", "before");
    const value = { connectionId: "c9", inboxEpoch: edge.epoch, inboxSequence: 2n };
    edge.broadcast({ case: "welcome", value: { ...value, heartbeatIntervalMs: 5_000 } });
    edge.text("g-1", "after");
    await client.send("g-1", "mine").result;
    expect(events).toContainEqual({
      name: "state",
      value: { status: "online", connectionId: "c9", way: "websocket" },
    });
    expect(events).not.toContainEqual(expect.objectContaining({ value: { status: "waiting" } }));
    await settled();
    expect(texts("g-1")).toEqual(["before", "after", "mine"]);
  });

  it("begins anew with its delays once it has caught up", async () => {
    const { edge, events, pass } = await start();
    edge.down = true;
    edge.cut();
    await pass(10_000);
    edge.down = false;
    await pass(10_000);
    edge.cut();
    await settled();
    expect(events.at(-1)).toMatchObject({ value: { status: "waiting", delayMs: 500 } });
  });

  it("[R4] comes back from a restarting edge within the time that it names", async () => {
    const { edge, events, pass } = await start();
    edge.cut(1012, "retry_after_ms=8000");
    await settled();
    expect(events.at(-1)).toMatchObject({ value: { status: "waiting", delayMs: 4_000 } });
    await pass(4_000);
    expect(edge.hellos).toHaveLength(2);
  });

  it("comes back after any code from 4000 to 4499", async () => {
    const { edge, pass } = await start();
    for (const code of [4000, 4001, 4499]) {
      edge.cut(code);
      await pass(1_000);
    }
    expect(edge.hellos).toHaveLength(4);
  });

  it("stays away after any code from 4500 to 4999", async () => {
    const { edge, client, pass } = await start();
    edge.cut(4505, "another connection of this device");
    await pass(60_000);
    expect(edge.hellos).toHaveLength(1);
    expect(client.state).toEqual({
      status: "stopped",
      reason: "another connection of this device",
    });
    await expect(client.history("d-ann-bob")).rejects.toThrow("another connection");
  });

  it("is signed out, and forgets its tokens, when the sign-in was ended", async () => {
    const tokens = memoryTokenStore(signIn);
    const { edge, client, pass } = await start({ tokens });
    edge.cut(4503, "revoked");
    await pass(1_000);
    expect(client.state).toEqual({ status: "signedOut", reason: "revoked" });
    expect(await tokens.load()).toBeUndefined();
  });

  it("[P2] sends a heartbeat at the interval that Welcome names", async () => {
    const { edge, pass } = await start();
    await pass(20_000);
    expect(edge.frames.filter(({ case: name }) => name === "heartbeat")).toHaveLength(4);
  });

  it("gives up a connection over which nothing comes any more", async () => {
    const { edge, pass } = await start();
    edge.silent = true;
    await pass(15_500);
    edge.silent = false;
    await pass(10_000);
    expect(edge.hellos).toHaveLength(2);
    expect(edge.sockets.size).toBe(1);
  });

  it("gives up a connection without a Welcome", async () => {
    const edge = new FakeEdge();
    const fixture = await openFixture(edge, new ManualClock());
    edge.silent = true;
    const connecting = fixture.client.connect();
    await fixture.pass(15_250);
    edge.silent = false;
    await fixture.pass(1_000);
    await connecting;
    expect(fixture.client.state.status).toBe("online");
  });

  it("reconnects at once when it is woken", async () => {
    const { edge, client } = await start();
    edge.cut();
    await settled();
    client.wake();
    await settled();
    expect(client.state.status).toBe("online");
  });

  it("ends for good when the client is closed, also in a pause", async () => {
    const { edge, client, pass } = await start();
    edge.cut();
    await settled();
    await client.close();
    await pass(60_000);
    expect(edge.hellos).toHaveLength(1);
    expect(client.state.status).toBe("stopped");
  });

  it("ends for good when it may not even be tried", async () => {
    class Forbidden {
      constructor() {
        throw new Error("blocked by the page's policy");
      }
    }
    const WebSocket = Forbidden as never;
    const fixture = await openFixture(new FakeEdge(), new ManualClock(), { WebSocket });
    await expect(fixture.client.connect()).rejects.toThrow("blocked by the page's policy");
  });

  it("repeats calls that may be repeated on the next connection, and no others", async () => {
    const { edge, client, pass } = await start();
    edge.createChannel("d-ann-bob");
    await settled();
    edge.silent = true;
    const read = client.history("d-ann-bob");
    await settled();
    edge.silent = false;
    edge.cut();
    await pass(1_000);
    expect((await read).messages).toHaveLength(1);
  });

  it("a call that nobody answers ends at its time limit", async () => {
    const { edge, client, pass } = await start();
    edge.createChannel("d-ann-bob");
    edge.silent = true;
    const read = client.history("d-ann-bob");
    const failed = expect(read).rejects.toThrow("no answer within 10000 ms");
    await pass(10_000);
    await failed;
  });
});
