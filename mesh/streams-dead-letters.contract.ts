/** How every adapter of streams.ts keeps what workers put aside. */
import { describe, expect, it } from "vitest";
import { type DeadLetter, entryBytesMax, type StreamEntry, StreamUnavailable } from "./streams.ts";
import type { OpenStreams } from "./streams-under-test.ts";

/** A part of the suite. */
export function deadLettersContract(test: OpenStreams): void {
  describe("dead letters", () => {
    const letter = (worker: string, sequence: number, data = Uint8Array.of(1)): DeadLetter => {
      const entry: StreamEntry = { sequence, subject: "a", data };
      const epoch = test.streams.log.epoch("a");
      return { worker, stream: "log", epoch, entry, reason: "premature EOF\r\nand so on" };
    };

    it("keeps each entry of each worker once, also after a re-opening", async () => {
      expect(await test.streams.deadLetters.count()).toBe(0);
      const letters = [letter("persist", 1), letter("fan-out", 1), letter("persist", 2)];
      for (const each of [...letters, ...letters]) await test.streams.deadLetters.park(each);
      expect(await test.streams.deadLetters.count()).toBe(3);
      await test.reopen();
      await test.streams.deadLetters.park(letters[0]!);
      expect(await test.streams.deadLetters.count()).toBe(3);
    });

    it("takes an entry as large as one may be, with a reason of any length", async () => {
      const large = letter("persist", 1, new Uint8Array(entryBytesMax));
      await test.streams.deadLetters.park({ ...large, reason: "é".repeat(100_000) });
      expect(await test.streams.deadLetters.count()).toBe(1);
    });

    it("[O2] lists each once, whole and page by page, also after a re-opening", async () => {
      const { deadLetters } = test.streams;
      expect(await deadLetters.list("", 100)).toEqual([]);
      const letters = Array.from({ length: 5 }, (_, i) =>
        letter("persist", i + 1, Uint8Array.of(10, 13, i)),
      );
      for (const each of letters) await deadLetters.park(each);
      await test.reopen();
      const listed: DeadLetter[] = [];
      for (let place = ""; ; ) {
        const page = await test.streams.deadLetters.list(place, 2);
        listed.push(...page.map(({ place, ...letter }) => letter));
        if (page.length < 2) break;
        place = page.at(-1)!.place;
      }
      listed.sort((a, b) => a.entry.sequence - b.entry.sequence);
      const plain = listed.map(({ entry, ...rest }) => {
        return { ...rest, entry: { ...entry, data: Uint8Array.from(entry.data) } };
      });
      expect(plain).toEqual(letters);
    });

    it("lists 1 to 100 at a time", async () => {
      for (const limit of [0, 101, 1.5]) {
        await expect(test.streams.deadLetters.list("", limit)).rejects.toThrow(`is ${limit}`);
      }
    });

    it("a closed adapter refuses", async () => {
      const { deadLetters } = test.streams;
      await test.reopen();
      await expect(deadLetters.park(letter("persist", 1))).rejects.toThrow(StreamUnavailable);
      await expect(deadLetters.count()).rejects.toThrow(StreamUnavailable);
      await expect(deadLetters.list("", 1)).rejects.toThrow(StreamUnavailable);
    });
  });
}
