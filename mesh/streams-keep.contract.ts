/** What every adapter of streams.ts keeps, and for how long. */
import { describe, expect, it } from "vitest";
import { StreamUnavailable, WrongLastSequence } from "./streams.ts";
import {
  bytes,
  fill,
  type OpenStreams,
  testRetention,
  text,
  textsOf,
} from "./streams-under-test.ts";

/** A part of the suite. */
export function keepContract(test: OpenStreams): void {
  describe("trim", () => {
    const workUntil = async (sequence: number) => {
      const worker = test.streams.log.work(
        { name: "persist", batchMax: 1, onError() {} },
        async ([entry]) => {
          if (entry!.sequence > sequence) throw new Error("not yet");
        },
      );
      await test.until(
        async () => (await test.streams.log.checkpoint("persist", "a")) === sequence,
      );
      await worker.stop();
    };

    it("removes what is old and what every named worker has done", async () => {
      const [, second] = await fill(test.streams.log, "a", 2);
      await workUntil(second!);
      await test.pass(20);
      await fill(test.streams.log, "a", 2);
      await test.pass(20);
      const workers = ["persist"];
      expect(await test.streams.log.trim({ olderThanMs: 3_600_000, workers })).toBe(0);
      expect(await test.streams.log.trim({ olderThanMs: 5, workers: ["persist", "index"] })).toBe(
        0,
      );
      expect(await test.streams.log.trim({ olderThanMs: 5, workers })).toBe(2);
      expect(await textsOf(test.streams.log, "a")).toEqual(["0", "1"]);
      expect(await test.streams.log.trim({ olderThanMs: 5, workers })).toBe(0);
    });

    it("leaves a worker that is behind what was stored shortly before what it has to do", async () => {
      await fill(test.streams.log, "a", 1);
      await test.pass(600);
      const [, , third] = await fill(test.streams.log, "a", 4);
      await workUntil(third!);
      await test.pass(1_000);
      expect(await test.streams.log.trim({ olderThanMs: 500, workers: ["persist"] })).toBe(1);
    });

    it("[M6] never makes a sequence be given again, also after a re-opening", async () => {
      const sequences = await fill(test.streams.log, "a", 3);
      await test.pass(20);
      expect(await test.streams.log.trim({ olderThanMs: 5, workers: [] })).toBe(3);
      expect(await test.streams.log.last("a", { fromLeader: true })).toBeUndefined();
      await test.reopen();
      const next = await test.streams.log.append("a", bytes("x"), { expectedLastSequence: 0 });
      expect(next).toBeGreaterThan(sequences.at(-1)!);
    });

    it("leaves a worker that is behind all that it has not done", async () => {
      const [first] = await fill(test.streams.log, "a", 3);
      await workUntil(first!);
      await test.pass(20);
      await test.streams.log.trim({ olderThanMs: 5, workers: ["persist"] });
      await test.reopen();
      const given: string[] = [];
      test.streams.log.work({ name: "persist", batchMax: 9, onError() {} }, async (entries) => {
        given.push(...entries.map(text));
      });
      await test.until(() => given.length >= 2);
      expect(given).toEqual(["1", "2"]);
    });
  });

  describe("retention", () => {
    const kept = testRetention.inbox.entriesPerSubjectMax;

    it("[S4] keeps an inbox' newest entries up to its limit, and no more", async () => {
      await test.streams.inbox.append("b", bytes("alone"));
      await Promise.all(
        Array.from({ length: 300 }, (_, i) => test.streams.inbox.append("a", bytes(`${i}`))),
      );
      const last = Array.from({ length: kept }, (_, i) => `${300 - kept + i}`);
      expect(await textsOf(test.streams.inbox, "a")).toEqual(last);
      expect(await textsOf(test.streams.inbox, "b")).toEqual(["alone"]);
      await test.reopen();
      await test.streams.inbox.append("a", bytes("300"));
      expect(await textsOf(test.streams.inbox, "a")).toEqual([...last.slice(1), "300"]);
    });

    it("keeps every entry of a log", async () => {
      const sequences = await fill(test.streams.log, "a", 20);
      expect(await textsOf(test.streams.log, "a")).toHaveLength(sequences.length);
    });

    it("lets go of what is older than its limit, on append", async () => {
      await fill(test.streams.revocations, "revocation", 3);
      await test.pass(testRetention.revocations.ageMaxMs + 200);
      await test.streams.revocations.append("revocation", bytes("new"));
      await test.until(async () => {
        const texts = await textsOf(test.streams.revocations, "revocation");
        return texts.join() === "new";
      });
    });
  });

  describe("open", () => {
    it("[M6] again finds every acknowledged entry, and goes on after them", async () => {
      const sequences = await fill(test.streams.log, "a", 5);
      const expectedLastSequence = sequences.at(-1)!;
      await test.reopen();
      expect(await textsOf(test.streams.log, "a")).toEqual(["0", "1", "2", "3", "4"]);
      await expect(
        test.streams.log.append("a", bytes("no"), { expectedLastSequence: 0 }),
      ).rejects.toThrow(WrongLastSequence);
      const next = await test.streams.log.append("a", bytes("5"), { expectedLastSequence });
      expect(next).toBeGreaterThan(expectedLastSequence);
    });

    it("[S4] again finds the same epochs", async () => {
      const epochs = () =>
        [test.streams.log, test.streams.inbox, test.streams.revocations].map((stream) =>
          stream.epoch("a"),
        );
      const before = epochs();
      for (const epoch of before) expect(epoch).toMatch(/^[a-z0-9]{1,32}$/);
      await test.reopen();
      expect(epochs()).toEqual(before);
    });

    it("a closed adapter refuses, and stores what was appended before it closed", async () => {
      const { log } = test.streams;
      const appended = log.append("a", bytes("1"));
      await test.reopen();
      await expect(log.append("a", bytes("2"))).rejects.toThrow(StreamUnavailable);
      await expect(log.read("a")).rejects.toThrow(StreamUnavailable);
      await appended;
      expect(await textsOf(test.streams.log, "a")).toEqual(["1"]);
    });
  });
}
