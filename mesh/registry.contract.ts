/** What every adapter of registry.ts does. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Instance, Registration, Registry, Watch } from "./registry.ts";

/** An adapter under test, without instances. */
export interface RegistryUnderTest {
  /** What one process uses. */
  registry: Registry;
  /** The same instances as another process sees them; the same object where only one can. */
  others: Registry;
  close(): Promise<void>;
}

/** Changes are seen within this. */
const timeout = 10_000;

/** Runs the suite. Its instances need no check by others: they serve no gRPC. */
export function registryContract(adapter: string, open: () => Promise<RegistryUnderTest>): void {
  describe(`Registry: ${adapter}`, () => {
    let test: RegistryUnderTest;
    const registrations: Registration[] = [];
    const watches: Watch[] = [];
    beforeEach(async () => {
      test = await open();
    });
    afterEach(async () => {
      for (const watch of watches.splice(0)) watch.stop();
      for (const registration of registrations.splice(0)) await registration.deregister();
      await test.close();
    });

    const instance = (instanceId: string, more: Partial<Instance> = {}): Instance => ({
      instanceId,
      service: "parley.test",
      address: "127.0.0.1:4000",
      metadata: {},
      ...more,
    });
    const register = async (registry: Registry, offered: Instance) => {
      const registration = await registry.register(offered);
      registrations.push(registration);
      return registration;
    };
    /** All lists that a watcher was given. */
    const watch = (registry: Registry, service = "parley.test") => {
      const lists: (readonly Instance[])[] = [];
      const watch = registry.watch(service, (instances) => void lists.push(instances));
      watches.push(watch);
      const ids = () =>
        lists
          .at(-1)
          ?.map(({ instanceId }) => instanceId)
          .sort();
      const sees = (...expected: string[]) =>
        vi.waitFor(() => expect(ids()).toEqual(expected), { timeout });
      return { lists, sees, stop: () => watch.stop() };
    };

    it("[D1] a watcher is told soon, also that there is nobody", async () => {
      await watch(test.registry).sees();
    });

    it("[D1] another process finds an instance with all that it was registered with", async () => {
      const offered = instance("a-1", {
        address: "127.0.0.1:41234",
        metadata: { region: "eu-1", load: "0.25" },
      });
      const watched = watch(test.others);
      await register(test.registry, offered);
      await watched.sees("a-1");
      expect(watched.lists.at(-1)).toEqual([offered]);
    });

    it("[D1] an address may be of version 6", async () => {
      const offered = instance("a-1", { address: "[::1]:41234" });
      await register(test.registry, offered);
      const watched = watch(test.others);
      await watched.sees("a-1");
      expect(watched.lists.at(-1)).toEqual([offered]);
    });

    it("[D3] instances come and go", async () => {
      const watched = watch(test.others);
      const first = await register(test.registry, instance("a-1"));
      await watched.sees("a-1");
      const second = await register(test.others, instance("a-2", { address: "127.0.0.1:4001" }));
      await watched.sees("a-1", "a-2");
      await first.deregister();
      await watched.sees("a-2");
      await second.deregister();
      await watched.sees();
    });

    it("[D1] a later watcher sees what is there", async () => {
      await register(test.registry, instance("a-1"));
      await watch(test.others).sees("a-1");
      await watch(test.others).sees("a-1");
    });

    it("[D1] services are apart, though one process offers them under one name", async () => {
      await register(test.registry, instance("a-1"));
      await register(test.registry, instance("a-1", { service: "parley.other" }));
      await register(test.registry, instance("a-2", { service: "parley.other" }));
      await watch(test.others).sees("a-1");
      await watch(test.others, "parley.other").sees("a-1", "a-2");
    });

    it("an instance that registers again is listed once, as it is now", async () => {
      const watched = watch(test.others);
      await register(test.registry, instance("a-1"));
      await watched.sees("a-1");
      await register(test.registry, instance("a-1", { address: "127.0.0.1:4001" }));
      await vi.waitFor(
        () => expect(watched.lists.at(-1)).toMatchObject([{ address: "127.0.0.1:4001" }]),
        { timeout },
      );
    });

    it("[A4] what an instance says of itself may change", async () => {
      const watched = watch(test.others);
      const registration = await register(test.registry, instance("a-1"));
      await register(test.registry, instance("a-2"));
      await watched.sees("a-1", "a-2");
      await registration.update({ load: "0.25" });
      await vi.waitFor(
        () =>
          expect(watched.lists.at(-1)).toEqual([
            instance("a-1", { metadata: { load: "0.25" } }),
            instance("a-2"),
          ]),
        { timeout },
      );
      // It was healthy all the time.
      expect(watched.lists.slice(-2).map((list) => list.length)).toEqual([2, 2]);
    });

    it("what is said of an instance that was withdrawn does not bring it back", async () => {
      const registration = await register(test.registry, instance("a-1"));
      await registration.deregister();
      await registration.update({ load: "0.25" });
      await watch(test.others).sees();
    });

    it("no watcher is given the same list twice", async () => {
      const watched = [watch(test.others), watch(test.registry)];
      const same = instance("a-1");
      await register(test.registry, same);
      for (const { sees } of watched) await sees("a-1");
      await register(test.registry, same);
      await register(test.registry, instance("b-1", { service: "parley.other" }));
      await register(test.registry, instance("a-2"));
      for (const { lists, sees } of watched) {
        await sees("a-1", "a-2");
        const texts = lists.map((list) => JSON.stringify(list));
        expect(texts.filter((text, i) => text === texts[i - 1])).toEqual([]);
      }
    });

    it("a watch that was stopped calls nobody, and the others go on", async () => {
      const stopped = watch(test.others);
      const early = watch(test.others);
      early.stop();
      const other = watch(test.others);
      await stopped.sees();
      stopped.stop();
      await register(test.registry, instance("a-1"));
      await other.sees("a-1");
      expect(stopped.lists).toEqual([[]]);
      expect(early.lists).toEqual([]);
    });

    it("an offer can be withdrawn twice", async () => {
      const registration = await register(test.registry, instance("a-1"));
      await registration.deregister();
      await registration.deregister();
      await watch(test.others).sees();
    });
  });
}
