/** How every adapter of streams.ts reads. */
import { describe, expect, it } from "vitest";
import { lastSequencesMax, pageEntriesMax } from "./streams-input.ts";
import { bytes, fill, type OpenStreams, text, textsOf } from "./streams-under-test.ts";

/** A part of the suite. */
export function readContract(test: OpenStreams): void {
  describe("read", () => {
    it("gives a subject's entries alone, also where names begin alike", async () => {
      for (const subject of ["a", "ab", "a-", "A", "a_", "b"]) {
        await test.streams.log.append(subject, bytes(subject));
      }
      for (const subject of ["a", "ab", "a-", "A", "a_", "b"]) {
        const { entries } = await test.streams.log.read(subject, { fromLeader: true });
        expect(entries.map((entry) => [entry.subject, text(entry)])).toEqual([[subject, subject]]);
      }
      expect(await textsOf(test.streams.inbox, "a")).toEqual([]);
    });

    it("[S2] gives the entries from one sequence to another, both inclusive", async () => {
      const sequences = await fill(test.streams.log, "a", 6);
      const read = async (from: number, to: number) => {
        const options = { fromSequence: from, toSequence: to, fromLeader: true };
        const { entries, more } = await test.streams.log.read("a", options);
        return [entries.map(text), more];
      };
      expect(await read(sequences[1]!, sequences[4]!)).toEqual([["1", "2", "3", "4"], false]);
      expect(await read(sequences[2]!, sequences[2]!)).toEqual([["2"], false]);
      expect(await read(sequences[5]! + 1, sequences[5]! + 9)).toEqual([[], false]);
    });

    it("stops at the limit and says whether there was more", async () => {
      await fill(test.streams.log, "a", 3);
      const page = await test.streams.log.read("a", { limit: 2, fromLeader: true });
      expect([page.entries.map(text), page.more]).toEqual([["0", "1"], true]);
      const fromSequence = page.entries[1]!.sequence + 1;
      const rest = await test.streams.log.read("a", { limit: 2, fromSequence, fromLeader: true });
      expect([rest.entries.map(text), rest.more]).toEqual([["2"], false]);
      expect((await test.streams.log.read("a", { limit: 3, fromLeader: true })).more).toBe(false);
    });

    it("stops after the entry that exceeds the bytes, however large the first one is", async () => {
      for (let i = 0; i < 4; i++) await test.streams.log.append("a", new Uint8Array(1_000).fill(i));
      const read = async (bytesMax: number) => {
        const { entries, more } = await test.streams.log.read("a", { bytesMax, fromLeader: true });
        return [entries.length, more];
      };
      expect(await read(10)).toEqual([1, true]);
      expect(await read(1_500)).toEqual([2, true]);
      expect(await read(100_000)).toEqual([4, false]);
    });

    it("[M6] says that there is more where the bytes ended it before the last sequence", async () => {
      const sequences = await fill(test.streams.log, "a", 4);
      const read = async (toSequence: number) => {
        const bounds = { toSequence, bytesMax: 1, fromLeader: true };
        const { entries, more } = await test.streams.log.read("a", bounds);
        return [entries.length, more];
      };
      expect(await read(sequences[1]!)).toEqual([2, false]);
      expect(await read(sequences[2]!)).toEqual([2, true]);
    });

    it("[M6] from the leader shows every acknowledged append", async () => {
      for (let i = 0; i < 50; i++) {
        const sequence = await test.streams.log.append("a", bytes(`${i}`));
        expect(await test.streams.log.last("a", { fromLeader: true })).toMatchObject({ sequence });
        const options = { fromSequence: sequence, fromLeader: true };
        expect((await test.streams.log.read("a", options)).entries).toHaveLength(1);
      }
    });

    it("[M6] from the leader shows who was refused the entry that was in the way", async () => {
      const first = test.streams.log.append("a", bytes("1"), { expectedLastSequence: 0 });
      const found = test.streams.log
        .append("a", bytes("2"), { expectedLastSequence: 0 })
        .catch(() => test.streams.log.last("a", { fromLeader: true }));
      expect(await found).toMatchObject({ sequence: await first });
    });

    it("of a subject without entries is empty", async () => {
      expect(await test.streams.log.read("a")).toEqual({ entries: [], more: false });
      expect(await test.streams.log.last("a")).toBeUndefined();
      expect(await test.streams.log.lastSequences(["a"])).toEqual([0]);
    });

    it("[S2] gives the last sequences of many subjects in their order", async () => {
      const a = await test.streams.inbox.append("a", bytes("1"));
      const b = await test.streams.inbox.append("b", bytes("2"));
      await test.until(async () => {
        const sequences = await test.streams.inbox.lastSequences(["b", "none", "a", "b"]);
        return `${sequences}` === `${[b, 0, a, b]}`;
      });
    });

    it("refuses more last sequences at once than 1,024", async () => {
      const subjects = Array.from({ length: lastSequencesMax + 1 }, (_, i) => `s${i}`);
      await expect(test.streams.log.lastSequences(subjects)).rejects.toThrow(/1025.*1024/);
      expect(await test.streams.log.lastSequences(subjects.slice(1))).toHaveLength(
        lastSequencesMax,
      );
    });

    it("refuses limits that are out of range, naming them", async () => {
      for (const limit of [0, -1, 1.5, pageEntriesMax + 1]) {
        await expect(test.streams.log.read("a", { limit })).rejects.toThrow(`limit: is ${limit}`);
      }
      await expect(test.streams.log.read("a.b")).rejects.toThrow('subject: "a.b"');
      expect(() =>
        test.streams.log.work({ name: "w", batchMax: 0, onError() {} }, async () => {}),
      ).toThrow("batchMax: is 0");
    });
  });
}
