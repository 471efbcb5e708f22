/** How every adapter of streams.ts runs workers. */
import { describe, expect, it } from "vitest";
import type { Running } from "./streams.ts";
import { bytes, type OpenStreams, text } from "./streams-under-test.ts";

/** A part of the suite. */
export function workContract(test: OpenStreams): void {
  describe("work", () => {
    const start = (
      name: string,
      handler: (texts: string[]) => Promise<void> | void,
      options: { batchMax?: number; onError?: (error: unknown, texts: string[]) => void } = {},
    ): Running =>
      test.streams.log.work(
        {
          name,
          batchMax: options.batchMax ?? 10,
          onError: (error, entries) => options.onError?.(error, entries.map(text)),
        },
        async (entries) => handler(entries.map(text)),
      );

    it("[M6] gives all entries in order, stored before and while it runs, in batches", async () => {
      for (let i = 0; i < 25; i++) await test.streams.log.append(`s${i % 3}`, bytes(`${i}`));
      const batches: string[][] = [];
      let running = 0;
      let runningMax = 0;
      start("persist", async (texts) => {
        runningMax = Math.max(runningMax, ++running);
        batches.push(texts);
        await test.pass(1);
        running--;
      });
      await test.until(() => batches.flat().length === 25);
      for (let i = 25; i < 50; i++) await test.streams.log.append(`s${i % 3}`, bytes(`${i}`));
      await test.until(() => batches.flat().length >= 50);
      expect(batches.flat()).toEqual(Array.from({ length: 50 }, (_, i) => `${i}`));
      expect(Math.max(...batches.map(({ length }) => length))).toBeLessThanOrEqual(10);
      expect(runningMax).toBe(1);
    });

    it("[M6] gives a batch that failed again before anything after it", async () => {
      for (const each of ["1", "2", "3"]) await test.streams.log.append("a", bytes(each));
      const given: string[] = [];
      const failed: string[] = [];
      let failures = 3;
      start(
        "persist",
        (texts) => {
          given.push(...texts);
          if (texts.includes("2") && failures-- > 0) throw new Error("store is away");
        },
        { batchMax: 1, onError: (error, texts) => failed.push(`${error} ${texts}`) },
      );
      await test.until(() => given.includes("3"));
      expect(given).toEqual(["1", "2", "2", "2", "2", "3"]);
      expect(failed).toEqual(Array(3).fill("Error: store is away 2"));
    });

    it("[M6] moves the checkpoint when a batch is done, and not before", async () => {
      const sequence = await test.streams.log.append("a", bytes("1"));
      const done = Promise.withResolvers<void>();
      let given = false;
      start("persist", async () => {
        given = true;
        await done.promise;
      });
      await test.until(() => given);
      await test.pass(500);
      expect(await test.streams.log.checkpoint("persist", "a")).toBe(0);
      done.resolve();
      await test.until(
        async () => (await test.streams.log.checkpoint("persist", "a")) === sequence,
      );
      expect(await test.streams.log.checkpoint("other", "a")).toBe(0);
    });

    it("[N1] gives further batches while one holds the checkpoint, which then moves past all", async () => {
      for (const each of ["1", "2"]) await test.streams.log.append("a", bytes(each));
      const held = Promise.withResolvers<void>();
      const given: string[] = [];
      const options = { name: "push", batchMax: 1, onError() {} };
      test.streams.log.work(options, async (entries, { hold }) => {
        given.push(...entries.map(text));
        if (given.length === 1) hold(held.promise);
      });
      await test.until(() => given.length === 2);
      await test.pass(500);
      expect(await test.streams.log.checkpoint("push", "a")).toBe(0);
      const sequence = await test.streams.log.append("a", bytes("3"));
      await test.until(() => given.length === 3);
      held.resolve();
      await test.until(async () => (await test.streams.log.checkpoint("push", "a")) === sequence);
      expect(given).toEqual(["1", "2", "3"]);
    });

    it("[N1] does not wait for what is held when it stops, and gives it to whoever goes on", async () => {
      await test.streams.log.append("a", bytes("1"));
      const given: string[] = [];
      const signals: AbortSignal[] = [];
      const options = { name: "push", batchMax: 1, onError() {} };
      const work = () =>
        test.streams.log.work(options, async (entries, { hold, signal }) => {
          given.push(...entries.map(text));
          signals.push(signal);
          hold(new Promise(() => {}));
        });
      const first = work();
      await test.until(() => given.length === 1);
      expect(signals[0]!.aborted).toBe(false);
      await first.stop();
      expect(signals[0]!.aborted).toBe(true);
      work();
      await test.until(() => given.length === 2);
      expect(given).toEqual(["1", "1"]);
    });

    it("workers of different names each get everything", async () => {
      const given: Record<string, string[]> = { persist: [], index: [] };
      for (const name in given) start(name, (texts) => void given[name]!.push(...texts));
      for (const each of ["1", "2", "3"]) await test.streams.log.append("a", bytes(each));
      await test.until(() => Object.values(given).every((texts) => texts.join("") === "123"));
    });

    it("[M6] goes on from its checkpoint after a re-opening, with what was not done", async () => {
      for (const each of ["1", "2"]) await test.streams.log.append("a", bytes(each));
      const first: string[] = [];
      start(
        "persist",
        (texts) => {
          first.push(...texts);
          if (texts.includes("2")) throw new Error("killed while at it");
        },
        { batchMax: 1 },
      );
      await test.until(() => first.includes("2"));
      await test.reopen();
      const second: string[] = [];
      start("persist", (texts) => void second.push(...texts));
      await test.streams.log.append("a", bytes("3"));
      await test.until(() => second.includes("3"));
      expect(second).toEqual(["2", "3"]);
    });

    it("calls nobody after it has stopped, and waits for the call under way", async () => {
      await test.streams.log.append("a", bytes("1"));
      const done = Promise.withResolvers<void>();
      const given: string[] = [];
      const worker = start("persist", async (texts) => {
        given.push(...texts);
        await done.promise;
      });
      await test.until(() => given.length === 1);
      let stopped = false;
      const stopping = worker.stop().then(() => {
        stopped = true;
      });
      await test.pass(50);
      expect(stopped).toBe(false);
      done.resolve();
      await stopping;
      await test.streams.log.append("a", bytes("2"));
      await test.pass(50);
      expect(given).toEqual(["1"]);
    });
  });
}
