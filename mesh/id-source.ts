/**
 * Ids at hand: keeps a block reserved from IdGen so that a caller has its ids without a call.
 *
 * A block is used for at most {@link blockMaxAgeMs}, so that ids keep the order of time. The next
 * one is asked for while the one in hand still serves, so that steady traffic never waits, and
 * is as large as the traffic needs. One reservation is under way at a time.
 */
import type { Clock } from "./clock.ts";
import { DomainError } from "./errors.ts";
import { maxId, minId } from "./ids.ts";

/** What IdGen answers: ranges of consecutive ids, ascending. */
export interface ReservedIds {
  ranges: readonly { firstId: bigint; count: number }[];
}

/** What an id source needs. */
export interface IdSourceOptions {
  /** IdGenService.ReserveIds. What it rejects with is what waiting callers are told. */
  reserve(count: number, greaterThan: bigint): Promise<ReservedIds>;
  clock: Clock;
}

/** The most ids to one {@link IdSource.take}. */
export const takeMax = 4_096;

/** See IdGenService.ReserveIds. */
const blockMaxAgeMs = 1_000;
/** At this age the next block is asked for. */
const refillAgeMs = 500;
/** So does this share of it that is left. */
const lowShare = 0.25;
/** The sizes of blocks. */
const blockCountMin = 64;
const blockCountMax = 65_536;
/** Callers that may wait for ids. */
const waitersMax = 10_000;
/** The pause after a block that nobody waited for was refused. */
const refillPauseMs = 100;

interface Waiter {
  count: number;
  greaterThan: bigint;
  resolve(ids: bigint[]): void;
  reject(error: unknown): void;
}

/** Hands out ids. */
export class IdSource {
  private readonly options: IdSourceOptions;
  private block: IdBlock | undefined;
  private blockCount = blockCountMin;
  private waiters: Waiter[] = [];
  private filling = false;
  private pausedUntilMs = 0;

  constructor(options: IdSourceOptions) {
    this.options = options;
  }

  /**
   * Takes `count` ids, 1 to {@link takeMax}: ascending, each greater than `greaterThan`, none
   * ever handed out before. Returns at once where they are in hand.
   *
   * Rejects with what IdGen refused for, or with OVERLOADED when {@link waitersMax} callers
   * wait already.
   */
  take(count: number, greaterThan: bigint): bigint[] | Promise<bigint[]> {
    if (!(count >= 1 && count <= takeMax)) {
      throw new RangeError(`${count} ids, must be 1 to ${takeMax}`);
    }
    const { block } = this;
    const nowMs = this.options.clock.monotonicMs();
    if (!block || nowMs >= block.bornMs + blockMaxAgeMs) return this.wait(count, greaterThan);
    const ids = block.take(count, greaterThan);
    if (!ids) return this.wait(count, greaterThan);
    const isLow = block.left < block.count * lowShare;
    const isOld = nowMs >= block.bornMs + refillAgeMs;
    if ((isLow || isOld) && nowMs >= this.pausedUntilMs) void this.fill();
    return ids;
  }

  private wait(count: number, greaterThan: bigint): Promise<bigint[]> {
    if (this.waiters.length >= waitersMax) {
      const text = `${waitersMax} callers are waiting for ids`;
      return Promise.reject(new DomainError("OVERLOADED", text, { retryAfterMs: 500 }));
    }
    return new Promise((resolve, reject) => {
      this.waiters.push({ count, greaterThan, resolve, reject });
      void this.fill();
    });
  }

  /** A block should last until it is old, and not much longer. */
  private adapt(): void {
    const { block } = this;
    if (!block) return;
    const isOld = this.options.clock.monotonicMs() >= block.bornMs + refillAgeMs;
    if (isOld && block.left > block.count * 0.75) {
      this.blockCount = Math.max(blockCountMin, block.count >> 1);
    } else if (!isOld && block.left < block.count * lowShare) {
      this.blockCount = Math.min(blockCountMax, block.count * 2);
    }
  }

  /** Asks for blocks until nobody waits, at least for one. */
  private async fill(): Promise<void> {
    if (this.filling) return;
    this.filling = true;
    do {
      // Who asks in this turn shares the block.
      await undefined;
      this.adapt();
      await this.fillOnce([...this.waiters]);
    } while (this.waiters.length > 0);
    this.filling = false;
  }

  /** Never rejects: those who wait are told. */
  private async fillOnce(asking: readonly Waiter[]): Promise<void> {
    const bounds = asking.map(({ greaterThan }) => greaterThan);
    // Where nobody waits: greater than all that is in hand, so that the order holds.
    const greaterThan = bounds.reduce(maxId, asking.length ? 0n : (this.block?.lastId ?? 0n));
    try {
      this.use(await this.reserve(asking, greaterThan));
    } catch (refusal) {
      this.pausedUntilMs = this.options.clock.monotonicMs() + refillPauseMs;
      // A channel whose last id is far ahead of the clock must not keep ids from the others.
      if (asking.length > 1 && isClockBehind(refusal)) {
        const least = bounds.reduce(minId);
        await this.reserve(asking, least).then(
          (block) => this.use(block),
          () => {},
        );
      }
      const asked = new Set(asking);
      const failed = this.waiters.filter((waiter) => asked.has(waiter));
      this.waiters = this.waiters.filter((waiter) => !asked.has(waiter));
      for (const waiter of failed) waiter.reject(refusal);
    }
  }

  private async reserve(asking: readonly Waiter[], greaterThan: bigint): Promise<IdBlock> {
    const wanted = asking.reduce((sum, waiter) => sum + waiter.count, 0);
    const count = Math.min(blockCountMax, Math.max(this.blockCount, wanted));
    const bornMs = this.options.clock.monotonicMs();
    const { ranges } = await this.options.reserve(count, greaterThan);
    return new IdBlock(ranges, count, greaterThan, bornMs);
  }

  /** Takes the block in hand, and gives those who wait what they can have of it. */
  private use(block: IdBlock): void {
    this.block = block;
    this.waiters = this.waiters.filter((waiter) => {
      const ids = block.take(waiter.count, waiter.greaterThan);
      if (ids) waiter.resolve(ids);
      return !ids;
    });
  }
}

/** Reserved ids, handed out in order. */
class IdBlock {
  readonly count: number;
  readonly lastId: bigint;
  /** When it was asked for, by the monotonic clock. */
  readonly bornMs: number;
  /** How many ids are left. */
  left: number;
  private readonly ranges: ReservedIds["ranges"];
  private rangeIndex = 0;
  private nextId: bigint;
  private leftInRange: number;

  /** @throws Error where the ids are not those that were asked for. */
  constructor(ranges: ReservedIds["ranges"], count: number, greaterThan: bigint, bornMs: number) {
    const first = ranges[0];
    const last = ranges.at(-1);
    const total = ranges.reduce((sum, range) => sum + range.count, 0);
    if (!first || !last || total !== count || first.firstId <= greaterThan) {
      throw new Error(`asked for ${count} ids above ${greaterThan}, got ${total} others`);
    }
    this.count = count;
    this.left = count;
    this.bornMs = bornMs;
    this.ranges = ranges;
    this.nextId = first.firstId;
    this.leftInRange = first.count;
    this.lastId = last.firstId + BigInt(last.count - 1);
  }

  /** The next ids above `greaterThan`; undefined where too few are left. */
  take(count: number, greaterThan: bigint): bigint[] | undefined {
    if (count > this.left || greaterThan >= this.lastId) return undefined;
    if (greaterThan >= this.nextId) this.skip(greaterThan);
    if (count > this.left) return undefined;
    const ids: bigint[] = new Array(count);
    for (let i = 0; i < count; i++) {
      if (this.leftInRange === 0) this.toNextRange();
      ids[i] = this.nextId++;
      this.leftInRange--;
    }
    this.left -= count;
    return ids;
  }

  /** Forgets the ids that are not greater; one at least is. */
  private skip(greaterThan: bigint): void {
    while (greaterThan >= this.nextId + BigInt(this.leftInRange)) {
      this.left -= this.leftInRange;
      this.toNextRange();
    }
    if (greaterThan < this.nextId) return;
    const skipped = Number(greaterThan - this.nextId) + 1;
    this.nextId += BigInt(skipped);
    this.leftInRange -= skipped;
    this.left -= skipped;
  }

  private toNextRange(): void {
    const { firstId, count } = this.ranges[++this.rangeIndex]!;
    this.nextId = firstId;
    this.leftInRange = count;
  }
}

function isClockBehind(error: unknown): boolean {
  return error instanceof Error && "reason" in error && error.reason === "CLOCK_BEHIND";
}
