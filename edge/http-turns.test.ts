import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { create, fromJsonString, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { EventSchema, ServerFramesSchema } from "../gen/parley/edge/v1/frame_pb.js";
import { CloseCode } from "./close-codes.ts";
import { EdgeFixture } from "./edge-fixture.ts";

/** Makes one poll. */
async function poll(fixture: EdgeFixture, token: string, lastEventId = "", body?: object) {
  const headers = { authorization: `Bearer ${token}`, "last-event-id": lastEventId };
  const init = { method: "POST", headers, ...(body && { body: JSON.stringify(body) }) };
  const response = await fetch(`http://${fixture.edge.address}/v1/poll`, init);
  const said = fromJsonString(ServerFramesSchema, await response.text(), {
    ignoreUnknownFields: true,
  });
  return {
    status: response.status,
    said,
    kinds: said.frames.map(({ frame }) => frame.case),
    sequences: said.frames.flatMap(({ frame }) =>
      frame.case === "deliveries" ? frame.value.deliveries.map((each) => each.inboxSequence) : [],
    ),
  };
}

/** Polls until the device has caught up; with what it heard, and where it goes on. */
async function pollUp(fixture: EdgeFixture, token: string, from = "") {
  const sequences: bigint[] = [];
  const kinds: (string | undefined)[] = [];
  for (let lastEventId = from; ; ) {
    const { said, ...heard } = await poll(fixture, token, lastEventId);
    sequences.push(...heard.sequences);
    kinds.push(...heard.kinds);
    lastEventId = said.lastEventId;
    if (heard.kinds.includes("caughtUp")) return { sequences, kinds, lastEventId };
  }
}

const turnsWithin = (fixture: EdgeFixture) => fixture.count("parley_edge_turns_total");

/** A presence event, which is not stored. */
const presence = toBinary(
  EventSchema,
  create(EventSchema, { event: { case: "presence", value: { userId: "bob" } } }),
);

describe("[T2] a turn", () => {
  it("ends after 25 s, and the next one goes on with the same connection", async () => {
    await using fixture = await new EdgeFixture().start();
    for (const way of ["events", "poll"] as const) {
      const device = await fixture.signInBy(way, `alice/${way}`);
      await device.next("caughtUp");
      for (let quiet = 0; quiet < 3; quiet++) {
        const turns = await turnsWithin(fixture);
        await fixture.pass(15_000);
        await fixture.pass(10_000);
        await expect.poll(() => turnsWithin(fixture)).toBe(turns + 1);
      }
      await fixture.store("alice", "hello");
      expect(await device.texts(1)).toEqual(["hello"]);
      device.end();
    }
    expect(fixture.presence.filter((each) => each.startsWith("attached"))).toHaveLength(2);
  });

  it("of a stream shows life every 15 s and asks not to be held back", async () => {
    await using fixture = await new EdgeFixture().start();
    const headers = { authorization: "Bearer alice/alice-1" };
    const response = await fetch(`http://${fixture.edge.address}/v1/events`, { headers });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
    });
    const text = response.text();
    await fixture.pass(15_000);
    await fixture.pass(10_000);
    const [retry, welcome, caughtUp, life] = (await text).split("\n\n");
    expect(retry).toBe("retry: 1000");
    expect(`${welcome}${caughtUp}`).toMatch(/data: {"welcome":.*data: {"caughtUp":/s);
    expect(life).toBe(":");
  });

  it("brings what came since the one before, events that are not stored too", async () => {
    await using fixture = await new EdgeFixture().start();
    const { lastEventId } = await pollUp(fixture, "alice/alice-1");
    await fixture.store("alice", "hello");
    fixture.streams.publishInbox("alice", presence);
    const { kinds } = await poll(fixture, "alice/alice-1", lastEventId);
    expect(kinds).toEqual(["deliveries", "event"]);
  });

  it("[S2] on another edge begins a connection from the position that the device was given", async () => {
    await using fixture = await new EdgeFixture().start();
    const { lastEventId } = await pollUp(fixture, "alice/alice-1");
    for (let i = 0; i < 3; i++) await fixture.store("alice", "hello");
    const elsewhere = lastEventId.replace(/^[^.]+/, "another-1");
    const { kinds, sequences } = await pollUp(fixture, "alice/alice-1", elsewhere);
    expect(kinds).toEqual(["welcome", "deliveries", "caughtUp"]);
    expect(sequences).toEqual([2n, 3n, 4n]);
  });

  it("[S2] says that it brought no more than it did, whatever comes as it begins", async () => {
    await using fixture = await new EdgeFixture().start();
    const { lastEventId } = await pollUp(fixture, "alice/alice-1");
    await fixture.store("alice", "first");
    fixture.whileVerifying = () => fixture.store("alice", "second");
    const { said, sequences } = await poll(fixture, "alice/alice-1", lastEventId);
    fixture.whileVerifying = async () => {};
    const elsewhere = said.lastEventId.replace(/^[^.]+/, "another-1");
    sequences.push(...(await pollUp(fixture, "alice/alice-1", elsewhere)).sequences);
    expect(sequences).toEqual([2n, 3n]);
  });

  it("[S2] [R1] says so too where its connection was closed before all was said", async () => {
    await using fixture = await new EdgeFixture({ bufferHardBytesMax: 1_000 }).start();
    const { lastEventId } = await pollUp(fixture, "alice/alice-1");
    const userId = "u".repeat(2_000);
    const large = create(EventSchema, { event: { case: "presence", value: { userId } } });
    fixture.streams.publishInbox("alice", toBinary(EventSchema, large));
    await fixture.store("alice", "too much");
    const { said } = await poll(fixture, "alice/alice-1", lastEventId);
    const closed = await poll(fixture, "alice/alice-1", said.lastEventId);
    expect(closed.said.close?.code).toBe(CloseCode.SLOW_CONSUMER);
    const { sequences } = await pollUp(fixture, "alice/alice-1", said.lastEventId);
    expect(sequences).toEqual([2n]);
  });

  it("[S2] whose answer was lost is made up for by the next", async () => {
    await using fixture = await new EdgeFixture().start();
    const { lastEventId } = await pollUp(fixture, "alice/alice-1");
    await fixture.store("alice", "lost on the way");
    await poll(fixture, "alice/alice-1", lastEventId);
    await fixture.store("alice", "more");
    const { sequences } = await pollUp(fixture, "alice/alice-1", lastEventId);
    expect(sequences).toEqual([2n, 3n]);
  });

  it("follows the device's hello rather than what it was told, where it has one", async () => {
    await using fixture = await new EdgeFixture().start();
    for (let i = 1; i <= 4; i++) await fixture.store("alice", `${i}`);
    const inboxEpoch = fixture.streams.inbox.epoch("alice");
    const hello = { inboxEpoch, inboxSequence: "2" };
    const { said } = await poll(fixture, "alice/alice-1", `x-1.9.4.${inboxEpoch}`, { hello });
    expect(said.frames[0]!.frame).toMatchObject({ value: { inboxSequence: 2n } });
  });

  it("goes on only for the device whose connection it is", async () => {
    await using fixture = await new EdgeFixture().start();
    const { lastEventId } = await pollUp(fixture, "alice/alice-1");
    const { kinds } = await poll(fixture, "eve/eve-1", lastEventId);
    expect(kinds).toContain("welcome");
    expect([...fixture.edge.listDevices()]).toMatchObject([
      { deviceId: "alice-1" },
      { deviceId: "eve-1" },
    ]);
  });

  it.each([
    { token: "", status: 401, code: CloseCode.TOKEN_INVALID },
    { token: "expired", status: 401, code: CloseCode.TOKEN_EXPIRED },
    { token: "away", status: 503, code: CloseCode.UNAVAILABLE },
    { token: "alice/alice-1", id: "nonsense", status: 400, code: CloseCode.BAD_FRAME },
    { token: "alice/alice-1", body: { ack: {} }, status: 400, code: CloseCode.BAD_FRAME },
    { token: "alice/alice-1", body: { hello: 7 }, status: 400, code: CloseCode.BAD_FRAME },
    {
      token: "alice/alice-1",
      body: { hello: { inboxSequence: "-1" } },
      status: 400,
      code: CloseCode.BAD_FRAME,
    },
  ])(
    "that can't begin is an HTTP error: $status for $code ($body)",
    async ({ token, id, body, status, code }) => {
      await using fixture = await new EdgeFixture().start();
      const answer = await poll(fixture, token, id, body);
      expect(answer).toMatchObject({ status, said: { close: { code } } });
      expect(fixture.edge.connectionCount).toBe(0);
    },
  );
});

describe("[T2] a device over HTTP", () => {
  it("[P2] is there between its turns, and gone 30 s after the last", async () => {
    await using fixture = await new EdgeFixture().start();
    const { lastEventId } = await pollUp(fixture, "alice/alice-1");
    await fixture.pass(29_000);
    expect(fixture.presence).toEqual(["attached alice-1"]);
    await fixture.pass(2_000);
    expect(fixture.presence).toEqual(["attached alice-1", "detached alice-1"]);
    await fixture.pass(31_000);
    expect(fixture.edge.connectionCount).toBe(0);
    expect((await pollUp(fixture, "alice/alice-1", lastEventId)).kinds).toContain("welcome");
  });

  it("[P2] that leaves in the midst of a turn is gone at once", async () => {
    await using fixture = await new EdgeFixture().start();
    for (const way of ["events", "poll"] as const) {
      const { lastEventId } = await pollUp(fixture, `alice/${way}`);
      const turns = await turnsWithin(fixture);
      const headers = { authorization: `Bearer alice/${way}`, "last-event-id": lastEventId };
      const leaving = new AbortController();
      const url = `http://${fixture.edge.address}/v1/${way}`;
      fetch(url, { headers, signal: leaving.signal }).catch(() => {});
      await expect.poll(() => turnsWithin(fixture)).toBe(turns + 1);
      leaving.abort();
      await expect.poll(() => fixture.presence).toContain(`detached ${way}`);
    }
  });

  it("gives way to its next connection, and hears of it even between turns", async () => {
    await using fixture = await new EdgeFixture().start();
    const { lastEventId } = await pollUp(fixture, "alice/alice-1");
    const other = await fixture.signIn("alice/alice-1");
    await other.next("caughtUp");
    const { status, said } = await poll(fixture, "alice/alice-1", lastEventId);
    expect(status).toBe(409);
    expect(said.close).toMatchObject({ code: CloseCode.REPLACED });
    expect(await other.isAlive()).toBe(true);
  });

  it.each(["events", "poll"] as const)(
    "[A3] [R4] is told over %s why its connection ends",
    async (way) => {
      await using fixture = await new EdgeFixture().start();
      const revoked = await fixture.signInBy(way, "alice/alice-1");
      const drained = await fixture.signInBy(way, "bob/bob-1");
      await revoked.next("caughtUp");
      await drained.next("caughtUp");
      await fixture.revoke("alice", "alice-1");
      await fixture.pass(1_000);
      expect(await revoked.closed).toMatchObject({ code: CloseCode.TOKEN_REVOKED });
      await fixture.edge.drain();
      const reason = "retry_after_ms=2000";
      expect(await drained.closed).toMatchObject({ code: CloseCode.SERVICE_RESTART, reason });
      const url = `http://${fixture.edge.address}/v1/${way}`;
      expect((await fetch(url)).status).toBe(503);
    },
  );

  it("[R1] that stays away has little kept for it, is told so, and loses nothing", async () => {
    await using fixture = await new EdgeFixture().start();
    const { lastEventId } = await pollUp(fixture, "eve/eve-1");
    for (let i = 0; i < 20; i++) await fixture.store("eve", "x".repeat(65_536));
    expect(await fixture.count("parley_edge_lagging_total")).toBe(1);
    const { kinds, sequences } = await pollUp(fixture, "eve/eve-1", lastEventId);
    expect(sequences).toEqual(Array.from({ length: 20 }, (_, i) => BigInt(i + 2)));
    expect(kinds.filter((kind) => kind === "lagging")).toHaveLength(1);
  });

  it("[R1] that does not read is waited for no longer than 5 s in the end", async () => {
    await using fixture = await new EdgeFixture().start();
    const headers = { authorization: "Bearer eve/eve-1" };
    const asked = request(`http://${fixture.edge.address}/v1/events`, { headers }).end();
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    const closed = once(response.socket, "close");
    while ((await fixture.count("parley_edge_lagging_total")) === 0) {
      await fixture.store("eve", "x".repeat(65_536));
      await fixture.pass(0);
    }
    await fixture.revoke("eve", "eve-1");
    await fixture.pass(1_000);
    expect(fixture.presence).toEqual(["attached eve-1", "logged out eve-1"]);
    expect(response.socket.closed).toBe(false);
    await fixture.pass(5_500);
    response.resume().on("error", () => {});
    await closed;
  });
});
