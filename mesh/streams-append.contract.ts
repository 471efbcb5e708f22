/** How every adapter of streams.ts appends. */
import { describe, expect, it } from "vitest";
import { entryBytesMax, WrongLastSequence } from "./streams.ts";
import { ascending, bytes, type OpenStreams, textsOf } from "./streams-under-test.ts";

/** A part of the suite. */
export function appendContract(test: OpenStreams): void {
  describe("append", () => {
    it("[M6] gives every entry of a stream a greater sequence than all before it", async () => {
      const sequences: number[] = [];
      for (const subject of ["a", "b", "a", "c"]) {
        sequences.push(await test.streams.log.append(subject, bytes("x")));
      }
      expect(sequences[0]).toBeGreaterThanOrEqual(1);
      expect(sequences).toEqual(ascending(sequences));
    });

    it("[M6] stores what one caller appends to a subject in the order of the calls", async () => {
      const texts = Array.from({ length: 200 }, (_, i) => `${i}`);
      const sequences = await Promise.all(texts.map((t) => test.streams.log.append("a", bytes(t))));
      expect(sequences).toEqual(ascending(sequences));
      expect(await textsOf(test.streams.log, "a")).toEqual(texts);
    });

    it("[M6] stores an entry that expects the subject's last one, others' not counted", async () => {
      const first = await test.streams.log.append("a", bytes("1"), { expectedLastSequence: 0 });
      await test.streams.log.append("b", bytes("x"));
      await test.streams.log.append("a", bytes("2"), { expectedLastSequence: first });
      expect(await textsOf(test.streams.log, "a")).toEqual(["1", "2"]);
    });

    it("[M6] refuses an entry that expects another last one, and stores nothing", async () => {
      const first = await test.streams.log.append("a", bytes("1"));
      for (const expectedLastSequence of [0, first - 1, first + 1]) {
        if (expectedLastSequence < 0) continue;
        const refused = test.streams.log.append("a", bytes("no"), { expectedLastSequence });
        await expect(refused).rejects.toThrow(WrongLastSequence);
      }
      await expect(
        test.streams.log.append("b", bytes("no"), { expectedLastSequence: first }),
      ).rejects.toThrow(WrongLastSequence);
      expect(await textsOf(test.streams.log, "a")).toEqual(["1"]);
      expect(await textsOf(test.streams.log, "b")).toEqual([]);
    });

    it("[M6] of two that expect the same last entry at the same time, one is refused", async () => {
      const outcomes = await Promise.allSettled(
        ["1", "2", "3"].map((text) =>
          test.streams.log.append("a", bytes(text), { expectedLastSequence: 0 }),
        ),
      );
      expect(outcomes.map(({ status }) => status).sort()).toEqual([
        "fulfilled",
        "rejected",
        "rejected",
      ]);
      for (const outcome of outcomes) {
        if (outcome.status === "rejected") expect(outcome.reason).toBeInstanceOf(WrongLastSequence);
      }
      expect(await textsOf(test.streams.log, "a")).toHaveLength(1);
    });

    it("[M6] returns data byte for byte: empty, any byte, as large as an entry may be", async () => {
      const large = Uint8Array.from({ length: entryBytesMax }, (_, i) => i % 251);
      const every = Uint8Array.from({ length: 256 }, (_, i) => i);
      const contents = [new Uint8Array(), every, large];
      for (const data of contents) await test.streams.log.append("a", data);
      const page = await test.streams.log.read("a", { fromLeader: true, bytesMax: 1 << 23 });
      expect(page.entries).toHaveLength(contents.length);
      for (const [i, { data }] of page.entries.entries()) {
        expect(Buffer.compare(data, contents[i]!)).toBe(0);
      }
    });

    it("[M6] is not disturbed by what the caller does to its buffer afterwards", async () => {
      const data = bytes("before");
      const appended = test.streams.inbox.append("a", data);
      data.fill(0);
      await appended;
      expect(await textsOf(test.streams.inbox, "a")).toEqual(["before"]);
    });

    it("refuses an entry that is too large, with its size and the limit", async () => {
      const refused = test.streams.log.append("a", new Uint8Array(entryBytesMax + 1));
      await expect(refused).rejects.toThrow(/1000001.*1000000/);
      expect(await textsOf(test.streams.log, "a")).toEqual([]);
    });

    it("[M5] answers a repeated dedupe id with the first sequence and stores nothing", async () => {
      const append = () => test.streams.inbox.append("a", bytes("1"), { dedupeId: "d1" });
      const [first, underWay] = await Promise.all([append(), append()]);
      expect(underWay).toBe(first);
      await test.streams.inbox.append("a", bytes("2"), { dedupeId: "d2" });
      expect(await append()).toBe(first);
      expect(await textsOf(test.streams.inbox, "a")).toEqual(["1", "2"]);
    });

    it("[M5] a refused append's dedupe id can be used again", async () => {
      const refused = test.streams.log.append("a", bytes("1"), {
        dedupeId: "d1",
        expectedLastSequence: 7,
      });
      await expect(refused).rejects.toThrow(WrongLastSequence);
      await test.streams.log.append("a", bytes("1"), { dedupeId: "d1", expectedLastSequence: 0 });
      expect(await textsOf(test.streams.log, "a")).toEqual(["1"]);
    });
  });
}
