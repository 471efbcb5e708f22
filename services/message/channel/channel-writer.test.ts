import { describe, expect, it, vi } from "vitest";
import { MessageFixture, turn } from "../message-fixture.ts";
import { createDirect, directChannelId, sendText } from "./changes.ts";
import type { Change, Outcome } from "./channel-change.ts";
import { ChannelWriter } from "./channel-writer.ts";
import { Channels } from "./channels.ts";

const channelId = directChannelId("ann", "ben");

/** A direct channel with one writer, and what its changes were told. */
async function setUp() {
  const fixture = new MessageFixture();
  const writer = () => new ChannelWriter(channelId, fixture.writing);
  const first = writer();
  const outcomes: (Outcome | Error)[] = [];
  const send = (
    text: string,
    {
      to = first,
      id = fixture.clientId(),
      ...rest
    }: Partial<Change> & { to?: ChannelWriter; id?: string } = {},
  ): Promise<Outcome> =>
    new Promise((resolve, reject) => {
      to.submit({
        senderId: "ann",
        clientMessageId: id,
        clientTimeMs: Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16),
        replyToMessageId: 0n,
        traceParent: "",
        bytes: text.length,
        deadlineMs: fixture.clock.nowMs() + 10_000,
        decide: sendText(channelId, "ann", text, 0n),
        done: (outcome) => {
          outcomes.push(outcome);
          if (outcome instanceof Error) reject(outcome);
          else resolve(outcome);
        },
        ...rest,
      });
    });
  const decide = createDirect(channelId, "ann", "ben", fixture.clock.nowMs());
  await send("", { id: fixture.clientId(), clientMessageId: "", decide });
  /** How many items each entry of the log has. */
  const entrySizes = async () =>
    (await fixture.entriesOf(channelId)).map(({ items }) => items.length);
  const texts = async () =>
    (await fixture.entriesOf(channelId)).flatMap(({ items }) =>
      items.flatMap(({ item }) => {
        if (item.case !== "message") return [];
        return item.value.body.case === "text" ? item.value.body.value : [];
      }),
    );
  return { fixture, writer, send, outcomes, entrySizes, texts };
}

describe("the writer of a channel", () => {
  it("[M3] stores in one entry what comes in one turn, and in the next what comes meanwhile", async () => {
    const { send, entrySizes } = await setUp();
    const sends = [send("1"), send("2")];
    await Promise.resolve();
    sends.push(send("3"), send("4"), send("5"));
    const outcomes = await Promise.all(sends);
    expect(await entrySizes()).toEqual([1, 2, 3]);
    expect(outcomes.map(({ placement }) => placement!.channelSequence)).toEqual([2, 3, 4, 5, 6]);
  });

  it("[M7] gives each message the id of the one before it", async () => {
    const { send } = await setUp();
    const placements = (await Promise.all(["1", "2", "3"].map((text) => send(text)))).map(
      ({ placement }) => placement!,
    );
    expect(placements[1]!.prevMessageId).toBe(placements[0]!.messageId);
    expect(placements[2]!.prevMessageId).toBe(placements[1]!.messageId);
  });

  it("stores at most 256 changes, and about 512 KB, in an entry", async () => {
    const { send, entrySizes } = await setUp();
    await Promise.all(Array.from({ length: 300 }, (_, n) => send(`${n}`)));
    await Promise.all(Array.from({ length: 3 }, () => send("x".repeat(200_000))));
    await send("x".repeat(600_000));
    expect(await entrySizes()).toEqual([1, 256, 44, 2, 1, 1]);
  });

  it("[M5] answers a resend with the first placement, in the same entry and later", async () => {
    const { fixture, send, texts } = await setUp();
    const id = fixture.clientId();
    const tries = await Promise.all([send("once", { id }), send("once", { id })]);
    tries.push(await send("once", { id }));
    expect(new Set(tries.map(({ placement }) => placement!.messageId)).size).toBe(1);
    expect(await texts()).toEqual(["once"]);
  });

  it("[M5] answers a resend on another instance, also when the first never knew its outcome", async () => {
    const { fixture, writer, send, texts } = await setUp();
    const id = fixture.clientId();
    const first = await send("once", { id });
    const again = await send("once", { id, to: writer() });
    expect(again.placement).toMatchObject(first.placement!);
    for (const fault of ["appendUnknownStored", "appendUnknownLost"] as const) {
      fixture.streamFaults.next(fault);
      await send(fault);
    }
    expect(await texts()).toEqual(["once", "appendUnknownStored", "appendUnknownLost"]);
  });

  it("[M5] knows an id again that memory has forgotten: by the log's tail, then by the store", async () => {
    const { fixture, writer, send, texts } = await setUp();
    const old = fixture.clientId(1_000);
    const first = await send("old", { id: old });
    for (let n = 0; n < 300; n++) await send(`${n}`);
    expect((await send("old", { id: old })).placement).toMatchObject(first.placement!);
    await fixture.work();
    expect((await send("old", { id: old, to: writer() })).placement).toMatchObject(
      first.placement!,
    );
    expect((await texts()).filter((text) => text === "old")).toHaveLength(1);
  });

  it("[M5] refuses to guess about an old id while the store is away; others go on", async () => {
    const { fixture, send } = await setUp();
    for (let n = 0; n < 300; n++) await send(`${n}`);
    fixture.storeFaults.chances = { readFails: 1 };
    const results = await Promise.allSettled([
      send("late", { id: fixture.clientId(1_000) }),
      send("new", { id: fixture.clientId(-1) }),
    ]);
    expect(results).toMatchObject([
      { status: "rejected", reason: { reason: "UNAVAILABLE" } },
      { status: "fulfilled" },
    ]);
  });

  it("[M5] refuses a client id that was used for another text", async () => {
    const { fixture, send } = await setUp();
    const id = fixture.clientId();
    await send("one", { id });
    await expect(send("two", { id })).rejects.toMatchObject({ reason: "CLIENT_MESSAGE_ID_REUSED" });
  });

  it("[M6] makes one order of what two writers append, though each believes to be alone", async () => {
    const { fixture, writer, send, texts } = await setUp();
    const other = writer();
    await Promise.all(
      Array.from({ length: 20 }, async (_, n) => {
        await send(`a${n}`);
        await send(`b${n}`, { to: other });
      }),
    );
    expect(new Set(await texts()).size).toBe(40);
    const messages = (await fixture.entriesOf(channelId)).flatMap(({ items }) => items);
    expect(messages.map(({ item }) => item.value!.channelSequence)).toEqual(
      Array.from({ length: 41 }, (_, n) => n + 1),
    );
  });

  it("[G4] decides again on what another writer has appended meanwhile", async () => {
    const { writer, send } = await setUp();
    const other = writer();
    await send("so that it is warm", { to: other });
    await send("newer");
    const seen: number[] = [];
    await send("", {
      to: other,
      decide: (state) => {
        seen.push(state!.channel.lastChannelSequence);
        return { body: { case: "text", value: "x" } };
      },
    });
    expect(seen).toEqual([2, 3]);
  });

  it("answers what needs no append by the log, not by what it remembers", async () => {
    const { writer, send } = await setUp();
    const other = writer();
    await send("so that it is warm", { to: other });
    await send("newer");
    const { state } = await send("", { to: other, decide: () => undefined });
    expect(state.channel.lastChannelSequence).toBe(3);
  });

  it("[R1] refuses what waited past its deadline, and stores nothing of it", async () => {
    const { fixture, send, texts } = await setUp();
    const late = send("late", { deadlineMs: fixture.clock.nowMs() });
    await expect(late).rejects.toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    expect(await texts()).toEqual([]);
  });

  it("[R1] refuses more than 1,024 waiting changes, with a pause to keep", async () => {
    const { send, outcomes } = await setUp();
    const sends = Array.from({ length: 1_025 }, () => send("x"));
    const last = sends.pop();
    await expect(last).rejects.toMatchObject({
      reason: "OVERLOADED",
      details: { retryAfterMs: 500 },
    });
    await Promise.all(sends);
    expect(outcomes.filter((outcome) => outcome instanceof Error)).toHaveLength(1);
  });

  it("[R1] gives up after 8 tries of unknown outcome", async () => {
    const { fixture, send, texts } = await setUp();
    fixture.streamFaults.next("appendUnknownLost", 8);
    await expect(send("x")).rejects.toMatchObject({ reason: "UNAVAILABLE" });
    await send("y");
    expect(await texts()).toEqual(["y"]);
  });

  it("[R2] goes on from the log alone while the store is away", async () => {
    const { fixture, writer, send } = await setUp();
    fixture.storeFaults.chances = { readFails: 1 };
    expect((await send("x", { to: writer() })).placement!.channelSequence).toBe(2);
  });

  it("takes a snapshot again after 1,000 entries, and after 30 minutes", async () => {
    const { fixture, send } = await setUp();
    const hasSnapshot = async () => {
      const entries = await fixture.entriesOf(channelId);
      return entries.flatMap(({ snapshot }, n) => (snapshot ? [n] : []));
    };
    for (let n = 1; n < 1_010; n++) await send("x");
    expect(await hasSnapshot()).toEqual([0, 1_000]);
    fixture.clock.advance(30 * 60_000);
    await send("x");
    const entries = await fixture.entriesOf(channelId);
    expect(entries.at(-1)!.snapshot!.members.map(({ userId }) => userId)).toEqual(["ann", "ben"]);
  });
});

describe("a writer with a shorter log", () => {
  it("takes a snapshot as often as the log's retention asks for", async () => {
    const { fixture, send } = await setUp();
    const to = new ChannelWriter(channelId, { ...fixture.writing, snapshotAgeMaxMs: 30_000 });
    const sinceMs = [0, 29_999, 1, 1];
    for (const ms of sinceMs) {
      fixture.clock.advance(ms);
      await send("x", { to });
    }
    const entries = await fixture.entriesOf(channelId);
    expect(entries.map(({ snapshot }) => snapshot !== undefined)).toEqual([
      ...[true, false, false, true, false],
    ]);
  });
});

describe("the writers of a process", () => {
  it("[R1] refuse changes when 64 MiB of them wait", async () => {
    const { fixture } = await setUp();
    const channels = new Channels(fixture.writing);
    const change = (bytes: number) =>
      channels.change(channelId, {
        ...{ senderId: "ann", clientMessageId: "", clientTimeMs: 0, replyToMessageId: 0n },
        ...{ traceParent: "", bytes, deadlineMs: Number.POSITIVE_INFINITY },
        decide: sendText(channelId, "ann", "x", 0n),
      });
    const taken = change(64 * 1024 * 1024);
    await expect(change(1)).rejects.toMatchObject({ reason: "OVERLOADED" });
    await taken;
    await turn();
    await expect(change(1)).resolves.toBeDefined();
  });

  it("[R1] are 10,000 again after more were busy at once, without a search of all for each", async () => {
    const { fixture } = await setUp();
    const { log } = fixture.writing;
    let letGo = () => {};
    const held = new Promise<void>((resolve) => (letGo = resolve));
    const slow = new Proxy(log, {
      get: (target, name) => {
        const method = Reflect.get(target, name);
        if (name !== "append") return method.bind(target);
        return async (...args: unknown[]) => {
          await held;
          return method.apply(target, args);
        };
      },
    });
    const channels = new Channels({ ...fixture.writing, log: slow });
    const looks = vi.spyOn(ChannelWriter.prototype, "isIdle", "get");
    const create = (i: number) => {
      const otherId = `u${i}`;
      const created = directChannelId("ann", otherId);
      return channels.change(created, {
        ...{ senderId: "ann", clientMessageId: "", clientTimeMs: 0, replyToMessageId: 0n },
        ...{ traceParent: "", bytes: 1, deadlineMs: Number.POSITIVE_INFINITY },
        decide: createDirect(created, "ann", otherId, fixture.clock.nowMs()),
      });
    };
    const created = Array.from({ length: 10_200 }, (_, i) => create(i));
    expect(channels.size).toBe(10_200);
    expect(looks.mock.calls.length).toBeLessThan(200 * 100);
    letGo();
    await Promise.all(created);
    await turn();
    expect(channels.size).toBe(10_000);
    looks.mockRestore();
  });

  it("[R1] are kept for channels that there are", async () => {
    const { fixture } = await setUp();
    const channels = new Channels(fixture.writing);
    for (let i = 0; i < 100; i++) await channels.read(`g-none-${i}`);
    await turn();
    expect(channels.size).toBe(0);
    await channels.change(channelId, {
      ...{ senderId: "ann", clientMessageId: "", clientTimeMs: 0, replyToMessageId: 0n },
      ...{ traceParent: "", bytes: 1, deadlineMs: Number.POSITIVE_INFINITY },
      decide: sendText(channelId, "ann", "x", 0n),
    });
    await turn();
    expect(channels.size).toBe(1);
    expect(channels.warm(channelId)).toBeDefined();
  });
});
