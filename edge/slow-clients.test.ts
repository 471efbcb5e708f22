import { describe, expect, it } from "vitest";
import { CloseCode } from "./close-codes.ts";
import { EdgeFixture } from "./edge-fixture.ts";
import type { SocketClient } from "./frame-client.ts";

/** 64 KB, so that a few fill the kernel's buffers and the edge's. */
const text = "x".repeat(65_536);

/** Stores entries until the edge has stopped delivering them to `client`. */
async function overwhelm(fixture: EdgeFixture, client: SocketClient): Promise<number> {
  client.ws.pause();
  for (let stored = 1; ; stored++) {
    await fixture.store("eve", text);
    await new Promise((resolve) => setImmediate(resolve));
    if ((await fixture.count("parley_edge_lagging_total")) > 0) return stored;
  }
}

describe("[S2] [R1] a client that does not read", () => {
  it("is told that it lags, loses nothing, and is brought up to date from the stream", async () => {
    await using fixture = await new EdgeFixture().start();
    const client = await fixture.signIn("eve/eve-1");
    const healthy = await fixture.signIn("alice/alice-1");
    await client.next("caughtUp");
    await healthy.next("caughtUp");
    let stored = await overwhelm(fixture, client);
    for (let i = 0; i < 20; i++, stored++) await fixture.store("eve", text);
    expect(await healthy.isAlive()).toBe(true);

    client.ws.resume();
    const sequences: bigint[] = [];
    let lagging = 0;
    while (sequences.length < stored) {
      const frame = await client.any();
      if (frame.case === "lagging") lagging++;
      if (frame.case !== "deliveries") continue;
      for (const { inboxSequence, prevInboxSequence } of frame.value.deliveries) {
        expect(prevInboxSequence).toBe(sequences.at(-1) ?? 1n);
        sequences.push(inboxSequence);
      }
    }
    expect(lagging).toBe(1);
    await client.next("caughtUp");
    expect(await client.isAlive()).toBe(true);
  });

  it("is closed when what waits was not read in 30 s, though it still sends", async () => {
    await using fixture = await new EdgeFixture().start();
    const client = await fixture.signIn("eve/eve-1");
    const healthy = await fixture.signIn("alice/alice-1");
    await client.next("caughtUp");
    await overwhelm(fixture, client);
    for (let elapsedMs = 0; elapsedMs < 30_000; elapsedMs += 10_000) {
      expect(fixture.presence).not.toContain("detached eve-1");
      const frames = await fixture.count("parley_edge_frames_received_total");
      client.send({ case: "heartbeat", value: {} });
      healthy.send({ case: "heartbeat", value: {} });
      await expect.poll(() => fixture.count("parley_edge_frames_received_total")).toBe(frames + 2);
      fixture.clock.advance(10_000);
    }
    expect(fixture.presence).toEqual(["attached eve-1", "attached alice-1", "detached eve-1"]);
    client.ws.resume();
    expect(await client.closed).toMatchObject({ code: CloseCode.SLOW_CONSUMER });
  });

  it("is closed when the answers to its own calls pile up past the hard limit", async () => {
    await using fixture = await new EdgeFixture({ bufferHardBytesMax: 65_536 }).start();
    const client = await fixture.signIn("eve/eve-1");
    await client.next("caughtUp");
    const method = "parley.message.v1.MessageService/ListChannels";
    fixture.answers.set(method, () => ({ nextPageToken: text }));
    client.ws.pause();
    for (let requestId = 1; !fixture.presence.includes("detached eve-1"); requestId++) {
      client.send({ case: "call", value: { requestId, method } });
      await new Promise((resolve) => setImmediate(resolve));
    }
    client.ws.resume();
    expect(await client.closed).toMatchObject({ code: CloseCode.SLOW_CONSUMER });
  });
});
