/**
 * Leases of one process, kept in a small file so that the marks survive it.
 *
 * The process holds the lock of its data folder, which proves that whoever held a slot before is
 * dead: after a kill -9 no slot is still taken. Such a slot is taken again only after all that
 * were used longer ago, so a restart finds one whose mark has passed; as leases are short
 * ({@link grantMaxMs}), 1,024 slots last through a loop of 17 crashes a second.
 */
import { open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import type { Clock } from "./clock.ts";
import { type Lease, LeaseLost, type Leases } from "./leases.ts";

/** The longest lease that is given, whatever is asked for: one's own file is not away for hours. */
const grantMaxMs = 60_000;

/** By group and slot: nothing up to this time may be used by the slot's next holder. */
type Marks = Record<string, Record<string, number>>;

const marksSchema: z.ZodType<Marks> = z.record(
  z.string(),
  z.record(z.string().regex(/^\d{1,5}$/), z.number().int().min(0)),
);

/** Hands out slots within one process. */
export class LocalLeases implements Leases {
  private readonly clock: Clock;
  private readonly file: string | undefined;
  private readonly marks: Marks;
  private readonly held = new Map<string, LocalLease>();
  private writing: Promise<void> = Promise.resolve();

  /**
   * Opens the file, which is made with the first lease; without one the marks end with the
   * process. Nobody else may have the file open.
   * @throws where the file can't be read or is damaged; it is never taken for empty.
   */
  static async open(clock: Clock, file?: string): Promise<LocalLeases> {
    return new LocalLeases(clock, file, file === undefined ? {} : await readMarks(file));
  }

  private constructor(clock: Clock, file: string | undefined, marks: Marks) {
    this.clock = clock;
    this.file = file;
    this.marks = marks;
  }

  async acquire(group: string, slots: number, durationMs: number): Promise<Lease> {
    const marks = this.marks[group] ?? {};
    this.marks[group] = marks;
    let oldest: number | undefined;
    for (let slot = 0; slot < slots; slot++) {
      if (this.isHeld(group, slot)) continue;
      if (oldest === undefined || (marks[slot] ?? 0) < (marks[oldest] ?? 0)) oldest = slot;
    }
    if (oldest === undefined) throw new Error(`all ${slots} slots of ${group} are held`);
    const lease = new LocalLease(this, group, oldest, marks[oldest] ?? 0);
    this.held.set(key(group, oldest), lease);
    try {
      await this.extend(lease, durationMs, lease.highWaterMs);
    } catch (error) {
      this.held.delete(key(group, oldest));
      throw error;
    }
    return lease;
  }

  /** See {@link Lease.renew}. */
  async extend(lease: LocalLease, durationMs: number, highWaterMs: number): Promise<void> {
    if (!this.isCurrent(lease)) {
      throw new LeaseLost(`slot ${lease.slot} of ${lease.group} is another's`);
    }
    const grantMs = Math.min(durationMs, grantMaxMs);
    const expireTimeMs = this.clock.nowMs() + grantMs;
    lease.heldUntilMs = this.clock.monotonicMs() + grantMs;
    lease.markMs = Math.max(lease.markMs, highWaterMs);
    await this.store(lease, Math.max(lease.markMs, expireTimeMs));
    lease.expireTimeMs = expireTimeMs;
  }

  /** See {@link Lease.release}. */
  async drop(lease: LocalLease, highWaterMs: number): Promise<void> {
    if (!this.isCurrent(lease)) return;
    this.held.delete(key(lease.group, lease.slot));
    // A mark that could not be stored leaves the end of the lease, which is no earlier.
    await this.store(lease, Math.max(lease.markMs, highWaterMs)).catch(() => {});
  }

  private isCurrent(lease: LocalLease): boolean {
    return this.held.get(key(lease.group, lease.slot)) === lease;
  }

  private isHeld(group: string, slot: number): boolean {
    const lease = this.held.get(key(group, slot));
    return lease !== undefined && lease.heldUntilMs > this.clock.monotonicMs();
  }

  private store({ group, slot }: LocalLease, markMs: number): Promise<void> {
    this.marks[group]![slot] = markMs;
    const { file } = this;
    if (file === undefined) return Promise.resolve();
    const text = JSON.stringify(this.marks);
    const written = this.writing.then(() => replaceFile(file, text));
    this.writing = written.catch(() => {});
    return written;
  }
}

class LocalLease implements Lease {
  readonly group: string;
  readonly slot: number;
  readonly highWaterMs: number;
  expireTimeMs = 0;
  /** The end by the monotonic clock: a step of the wall clock takes a slot from nobody. */
  heldUntilMs = 0;
  /** The greatest mark so far. */
  markMs: number;
  private readonly leases: LocalLeases;

  constructor(leases: LocalLeases, group: string, slot: number, highWaterMs: number) {
    this.leases = leases;
    this.group = group;
    this.slot = slot;
    this.highWaterMs = highWaterMs;
    this.markMs = highWaterMs;
  }

  renew(durationMs: number, highWaterMs: number): Promise<void> {
    return this.leases.extend(this, durationMs, highWaterMs);
  }

  release(highWaterMs: number): Promise<void> {
    return this.leases.drop(this, highWaterMs);
  }
}

function key(group: string, slot: number): string {
  return `${group}/${slot}`;
}

async function readMarks(file: string): Promise<Marks> {
  try {
    return marksSchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return {};
    throw new Error(`${file} does not hold the marks of leases`, { cause: error });
  }
}

/** Either the old text or the new one is on disk, whenever the machine stops. */
async function replaceFile(file: string, text: string): Promise<void> {
  const next = `${file}.next`;
  const handle = await open(next, "w");
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(next, file);
  const folder = await open(dirname(file), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
