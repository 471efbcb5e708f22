import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "./clock-manual.ts";
import type { ConsulQuery, ConsulService } from "./consul-client.ts";
import { silentLogger } from "./logger.ts";
import { ServiceWatch } from "./registry-consul-watch.ts";

type Answer = { index: number; services: ConsulService[] };

/** Consul, as far as a test tells it what to answer. */
class ScriptedConsul {
  readonly queries: ConsulQuery[] = [];
  private pending: PromiseWithResolvers<Answer> | undefined;

  healthyServices(_name: string, query: ConsulQuery): Promise<Answer> {
    this.queries.push(query);
    const pending = Promise.withResolvers<Answer>();
    this.pending = pending;
    query.signal.addEventListener("abort", () => pending.reject(query.signal.reason));
    return pending.promise;
  }

  get isAsked(): boolean {
    return this.pending !== undefined;
  }

  async answer(index: number, ...ids: string[]): Promise<void> {
    const services = ids.map((id) => ({ id, address: "127.0.0.1", port: 1, metadata: {} }));
    await this.settle((pending) => pending.resolve({ index, services }));
  }

  async fail(): Promise<void> {
    await this.settle((pending) => pending.reject(new Error("away")));
  }

  private async settle(end: (pending: PromiseWithResolvers<Answer>) => void): Promise<void> {
    const { pending } = this;
    if (!pending) throw new Error("nobody asks");
    this.pending = undefined;
    end(pending);
    await settled();
  }
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("ServiceWatch", () => {
  let clock: ManualClock;
  let consul: ScriptedConsul;
  let watch: ServiceWatch;
  let lists: string[];
  let chance: number;

  beforeEach(async () => {
    clock = new ManualClock();
    consul = new ScriptedConsul();
    lists = [];
    chance = 0.999;
    watch = new ServiceWatch({
      consul,
      name: "parley.edge",
      toInstance: ({ id }) => ({
        instanceId: id,
        service: "parley.edge",
        address: "",
        metadata: {},
      }),
      clock,
      log: silentLogger,
      random: () => chance,
    });
    watch.add((instances) => void lists.push(instances.map((one) => one.instanceId).join()));
    await settled();
  });
  afterEach(() => watch.stop());

  const advance = async (ms: number) => {
    clock.advance(ms);
    await settled();
  };
  const lastQuery = () => consul.queries.at(-1)!;

  it("[D1] goes on from the index of each answer", async () => {
    expect(lastQuery().index).toBe(0);
    await consul.answer(7, "a");
    await advance(100);
    expect(lastQuery()).toMatchObject({ index: 7, waitMs: 30_000 });
    await consul.answer(9, "b", "a");
    await advance(100);
    expect(lastQuery().index).toBe(9);
    expect(lists).toEqual(["a", "a,b"]);
  });

  it("[D1] an answer without a change is none", async () => {
    for (const index of [7, 7, 8, 9]) {
      await consul.answer(index, "a");
      await advance(100);
    }
    expect(lists).toEqual(["a"]);
  });

  it("pauses between answers, however often the service changes", async () => {
    await consul.answer(1, "a");
    await advance(49);
    expect(consul.isAsked).toBe(false);
    await advance(51);
    expect(consul.isAsked).toBe(true);
  });

  it("an index that goes backwards is none to go on from, nor is 0", async () => {
    await consul.answer(7, "a");
    await advance(100);
    await consul.answer(3, "a");
    await advance(1_000);
    expect(lastQuery().index).toBe(0);
    await consul.answer(0, "a");
    await advance(999);
    expect(consul.isAsked).toBe(false);
    await advance(1);
    expect(lastQuery().index).toBe(0);
  });

  it("[D2] while Consul is away the list stands, and it is asked every 2 s at most", async () => {
    await consul.answer(7, "a");
    await advance(100);
    const pauses: number[] = [];
    for (let failures = 0; failures < 12; failures++) {
      chance = failures % 2 ? 0.999 : 0;
      const atMs = clock.monotonicMs();
      await consul.fail();
      await advance(clock.nextDueMs()! - atMs);
      pauses.push(clock.monotonicMs() - atMs);
      expect(consul.isAsked).toBe(true);
    }
    expect(pauses.slice(0, 4).map(Math.round)).toEqual([50, 200, 200, 800]);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(2_000);
    expect(Math.min(...pauses.slice(5))).toBeGreaterThanOrEqual(1_000);
    expect(lastQuery().index).toBe(0);
    expect(lists).toEqual(["a"]);
  });

  it("[D2] who comes while Consul is away is told what is known", async () => {
    await consul.answer(7, "a");
    await advance(100);
    await consul.fail();
    const told: number[] = [];
    watch.add((instances) => void told.push(instances.length));
    await settled();
    expect(told).toEqual([1]);
  });

  it("[D2] a Consul that comes back without its data empties no list, and what it adds counts", async () => {
    await consul.answer(700, "a", "b");
    await advance(100);
    await consul.fail();
    await advance(100);
    await consul.answer(12);
    await advance(100);
    expect(lastQuery()).toMatchObject({ index: 12 });
    expect(lastQuery().waitMs).toBeLessThanOrEqual(10_000);
    await consul.answer(13, "c");
    await advance(5_000);
    await consul.answer(14, "a", "c");
    expect(lists).toEqual(["a,b", "a,b,c"]);
    await advance(5_000);
    await consul.answer(14, "a", "c");
    expect(lists).toEqual(["a,b", "a,b,c", "a,c"]);
  });

  it("[D2] nor does one whose index goes backwards without a word", async () => {
    await consul.answer(700, "a");
    await advance(100);
    await consul.answer(12);
    await advance(1_000);
    await consul.answer(12);
    expect(lists).toEqual(["a"]);
  });

  it("[D3] an instance that goes while Consul is there is gone at once, the last one too", async () => {
    await consul.answer(7, "a", "b");
    await advance(100);
    await consul.answer(8, "b");
    await advance(100);
    await consul.answer(9);
    expect(lists).toEqual(["a,b", "b", ""]);
  });

  it("asks no more when stopped", async () => {
    await consul.answer(7, "a");
    await advance(100);
    watch.stop();
    await settled();
    expect(lastQuery().signal.aborted).toBe(true);
    expect(clock.nextDueMs()).toBeUndefined();
    await advance(60_000);
    expect(consul.queries).toHaveLength(2);
  });
});
