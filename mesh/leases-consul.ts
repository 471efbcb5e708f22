/**
 * Leases in Consul's key-value store, one key a slot, written by compare-and-set alone.
 *
 * No clock but the holders' decides, and theirs may disagree: a process whose clock is ahead
 * takes a slot whose holder believes that it still has it. That does no harm. A holder uses
 * nothing past its `expireTimeMs`, which is stored before it learns of it, and who takes a slot
 * that was not released uses nothing up to the end that was stored: what the two use is apart,
 * whatever their clocks say. The old holder learns of it with its next renewal.
 *
 * This rests on Consul forgetting nothing: after a restore of an older snapshot, or the loss of
 * all servers' data, let the longest lease pass before new holders start.
 */
import { randomBytes, randomInt } from "node:crypto";
import { z } from "zod";
import type { Clock } from "./clock.ts";
import type { ConsulClient } from "./consul-client.ts";
import { type Lease, LeaseLost, type Leases } from "./leases.ts";
import { type Logger, silentLogger } from "./logger.ts";

/** What leases in Consul need. */
export interface ConsulLeasesOptions {
  consul: Pick<ConsulClient, "getEntry" | "listEntries" | "setEntry">;
  /** What the keys begin with. Default: "parley/leases/". */
  keyPrefix?: string;
  clock: Clock;
  log?: Logger;
}

/** Slots that are tried in one `acquire`, each lost to another process in that moment. */
const takesMax = 32;
/** Writes that are tried in one renewal or release, each overtaken by another write. */
const writesMax = 3;

/** What a slot's key holds. */
interface SlotRecord {
  /** Who holds it: unique for each lease. Empty: nobody. */
  holder: string;
  /** Until when; 0: it was released. */
  endMs: number;
  /** What its holders are known to have used. */
  markMs: number;
}

const recordSchema: z.ZodType<SlotRecord> = z.object({
  holder: z.string(),
  endMs: z.int().min(0),
  markMs: z.int().min(0),
});

/** A slot that can be taken. */
interface FreeSlot {
  slot: number;
  modifyIndex: number;
  markMs: number;
  /** The lower the better. */
  rank: number;
}

/** Hands out slots to all processes that use this Consul and this prefix. */
export class ConsulLeases implements Leases {
  private readonly options: ConsulLeasesOptions;
  private readonly log: Logger;
  private readonly process = randomBytes(8).toString("hex");
  private count = 0;
  /** Keys that this process holds, is taking, or could not release. */
  private readonly held = new Set<string>();

  constructor(options: ConsulLeasesOptions) {
    this.options = options;
    this.log = options.log ?? silentLogger;
  }

  async acquire(group: string, slots: number, durationMs: number): Promise<Lease> {
    const { consul, keyPrefix = "parley/leases/" } = this.options;
    const prefix = `${keyPrefix}${group}/`;
    const free = await this.freeSlots(prefix, slots);
    for (const { slot, modifyIndex, markMs } of free.slice(0, takesMax)) {
      const key = `${prefix}${slot}`;
      const holder = `${this.process}-${this.count++}`;
      const lease = new ConsulLease(this, { key, holder, slot, highWaterMs: markMs });
      // Beforehand, so that an acquire beside this one does not take it for left behind.
      this.held.add(key);
      const record = this.recordUntil(lease, durationMs);
      try {
        if (await consul.setEntry(key, JSON.stringify(record), modifyIndex)) {
          lease.expireTimeMs = record.endMs;
          return lease;
        }
      } catch (error) {
        this.held.delete(key);
        throw error;
      }
      this.held.delete(key);
    }
    throw new Error(
      free.length === 0
        ? `all ${slots} slots of ${group} are held`
        : `others were faster with the free slots of ${group}`,
    );
  }

  /** See {@link Lease.renew}. */
  async extend(lease: ConsulLease, durationMs: number, highWaterMs: number): Promise<void> {
    if (lease.isReleased) throw new LeaseLost(`${lease.key} was released`);
    lease.markMs = Math.max(lease.markMs, Math.ceil(highWaterMs));
    const record = this.recordUntil(lease, durationMs);
    await this.update(lease, record);
    lease.expireTimeMs = record.endMs;
  }

  /** See {@link Lease.release}. */
  async drop(lease: ConsulLease, highWaterMs: number): Promise<void> {
    if (lease.isReleased) return;
    lease.isReleased = true;
    const markMs = Math.max(lease.markMs, Math.ceil(highWaterMs));
    try {
      await this.update(lease, { holder: "", endMs: 0, markMs });
      this.held.delete(lease.key);
    } catch (err) {
      if (err instanceof LeaseLost) return;
      // It stays in `held`: its mark is not stored, so it is free when the lease ends, not before.
      this.log.warn({ event: "lease_not_released", key: lease.key, err });
    }
  }

  private recordUntil(lease: ConsulLease, durationMs: number): SlotRecord {
    const endMs = Math.floor(this.options.clock.nowMs() + durationMs);
    return { holder: lease.holder, endMs, markMs: lease.markMs };
  }

  /** Writes the record of a slot that is held. @throws LeaseLost where it is not. */
  private async update(lease: ConsulLease, record: SlotRecord): Promise<void> {
    const { consul } = this.options;
    const { key, holder } = lease;
    for (let writes = 0; writes < writesMax; writes++) {
      // Read each time: a write that was given up may have landed.
      const entry = await consul.getEntry(key);
      if (entry && recordOf(entry.value)?.holder !== holder) {
        this.held.delete(key);
        throw new LeaseLost(`${key} is another's`);
      }
      // A key that is gone is nobody's: it is made again.
      if (await consul.setEntry(key, JSON.stringify(record), entry?.modifyIndex ?? 0)) return;
    }
    throw new Error(`${key} was written ${writesMax} times meanwhile`);
  }

  /** Slots whose marks have passed in any order, then those whose marks pass soonest. */
  private async freeSlots(prefix: string, slots: number): Promise<FreeSlot[]> {
    const { consul, clock } = this.options;
    const entries = new Map(
      (await consul.listEntries(prefix)).map((entry) => [entry.key, entry] as const),
    );
    const nowMs = clock.nowMs();
    const free: FreeSlot[] = [];
    for (let slot = 0; slot < slots; slot++) {
      const key = `${prefix}${slot}`;
      const entry = entries.get(key);
      if (!entry) {
        free.push({ slot, modifyIndex: 0, markMs: 0, rank: nowMs });
        continue;
      }
      const { modifyIndex } = entry;
      const record = recordOf(entry.value);
      if (!record) {
        this.log.error({ event: "lease_damaged", key });
      } else if (this.isLeftBehind(key, record)) {
        free.push({ slot, modifyIndex, markMs: record.markMs, rank: 0 });
      } else if (record.endMs <= nowMs) {
        const markMs = Math.max(record.markMs, record.endMs);
        free.push({ slot, modifyIndex, markMs, rank: Math.max(markMs, nowMs) });
      }
    }
    return shuffled(free).sort((a, b) => a.rank - b.rank);
  }

  /** Whether an acquire of this process took it without knowing: nobody has used it. */
  private isLeftBehind(key: string, record: SlotRecord): boolean {
    return record.holder.startsWith(`${this.process}-`) && !this.held.has(key);
  }
}

class ConsulLease implements Lease {
  readonly key: string;
  readonly holder: string;
  readonly slot: number;
  readonly highWaterMs: number;
  expireTimeMs = 0;
  /** The greatest mark so far. */
  markMs: number;
  isReleased = false;
  private readonly leases: ConsulLeases;

  constructor(
    leases: ConsulLeases,
    of: { key: string; holder: string; slot: number; highWaterMs: number },
  ) {
    this.leases = leases;
    this.key = of.key;
    this.holder = of.holder;
    this.slot = of.slot;
    this.highWaterMs = of.highWaterMs;
    this.markMs = of.highWaterMs;
  }

  renew(durationMs: number, highWaterMs: number): Promise<void> {
    return this.leases.extend(this, durationMs, highWaterMs);
  }

  release(highWaterMs: number): Promise<void> {
    return this.leases.drop(this, highWaterMs);
  }
}

/** Undefined: it is damaged, and never taken for free. */
function recordOf(value: string): SlotRecord | undefined {
  try {
    return recordSchema.parse(JSON.parse(value));
  } catch {
    return undefined;
  }
}

function shuffled<T>(list: T[]): T[] {
  for (let last = list.length - 1; last > 0; last--) {
    const other = randomInt(last + 1);
    [list[last], list[other]] = [list[other]!, list[last]!];
  }
  return list;
}
