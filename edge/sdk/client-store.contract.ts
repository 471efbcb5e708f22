/** What every adapter of client-store.ts does. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyEntries, type ClientStore } from "./client-store.ts";

/** A store that can be opened again. */
export interface ClientStoreUnderTest {
  /** Opens it with what an earlier opening has left; that one is not used any more. */
  open(): Promise<ClientStore>;
  /** Ends the last opening. */
  close(): Promise<void>;
}

/** Runs the suite; `create` makes an empty store each time. */
export function clientStoreContract(
  adapter: string,
  create: () => Promise<ClientStoreUnderTest>,
): void {
  describe(`ClientStore: ${adapter}`, () => {
    const allOf = async (store: ClientStore) => new Map(await store.readAll());

    it("[K3] is empty at first", async () => {
      const under = await create();
      expect(await allOf(await under.open())).toEqual(new Map());
      await under.close();
    });

    it("[K3] holds after any writes and openings what was written last", async () => {
      const key = fc.constantFrom(
        "position",
        "channel/g-1",
        "channel/g-2",
        "send/é😀\n",
        "__proto__",
      );
      const value = fc.option(fc.string({ unit: "binary", maxLength: 50 }), { nil: undefined });
      const write = fc.array(fc.tuple(key, value), { maxLength: 8 }).map((all) => new Map(all));
      const steps = fc.array(fc.oneof({ weight: 4, arbitrary: write }, fc.constant("reopen")));
      await fc.assert(
        fc.asyncProperty(steps, async (steps) => {
          const under = await create();
          let store = await under.open();
          const expected = new Map<string, string>();
          for (const step of steps) {
            if (typeof step === "string") {
              await under.close();
              store = await under.open();
            } else {
              await store.write(step);
              applyEntries(expected, step);
            }
            expect(await allOf(store)).toEqual(expected);
          }
          await under.close();
        }),
        { numRuns: 30 },
      );
    });

    it("[K3] holds a cache that is full", async () => {
      const under = await create();
      const store = await under.open();
      const text = "x".repeat(100_000);
      const entries = Array.from({ length: 80 }, (_, i) => [`message/g-1/${i}`, text] as const);
      for (const entry of entries) await store.write(new Map([entry]));
      await store.write(new Map(entries.slice(0, 40).map(([key]) => [key, undefined])));
      await under.close();
      expect(await allOf(await under.open())).toEqual(new Map(entries.slice(40)));
      await under.close();
    });
  });
}
