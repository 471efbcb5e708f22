import type { Clock, Timer } from "../mesh/clock.ts";

/** Something that is looked at now and then. */
export interface WheelItem {
  /** Belongs to the wheel; -1: in no slot. */
  wheelSlot: number;
  /** Does what is due and says in how many milliseconds to be looked at again; 0: never. */
  onWheel(nowMs: number): number;
}

/**
 * One timer for any number of items with coarse deadlines. A deadline that moves on, as with
 * every sign of life, costs nothing until the old one is due, when the item says how much is
 * left.
 */
export class TimerWheel {
  private readonly clock: Clock;
  private readonly slots = Array.from({ length: slotCount }, () => new Set<WheelItem>());
  private tick: number;
  private timer: Timer | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
    this.tick = this.currentTick();
    this.timer = clock.setTimer(tickMs, this.onTimer);
  }

  /** Looks at an item that stands in no slot after `delayMs`, at most a tick later. */
  add(item: WheelItem, delayMs: number): void {
    const dueTick = Math.ceil((this.clock.monotonicMs() + delayMs) / tickMs);
    const ticks = Math.min(slotCount - 1, Math.max(1, dueTick - this.tick));
    item.wheelSlot = (this.tick + ticks) % slotCount;
    this.slots[item.wheelSlot]!.add(item);
  }

  /** Forgets an item. */
  remove(item: WheelItem): void {
    this.slots[item.wheelSlot]?.delete(item);
    item.wheelSlot = -1;
  }

  /** Looks at nothing any more. */
  stop(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  /** Makes up for every tick since the last, however late the timer is. */
  private readonly onTimer = (): void => {
    this.timer = this.clock.setTimer(tickMs, this.onTimer);
    const nowMs = this.clock.monotonicMs();
    for (const current = this.currentTick(); this.tick < current; ) {
      this.tick++;
      for (const item of this.slots[this.tick % slotCount]!) {
        this.remove(item);
        const delayMs = item.onWheel(nowMs);
        if (delayMs > 0) this.add(item, delayMs);
      }
    }
  };

  private currentTick(): number {
    return Math.floor(this.clock.monotonicMs() / tickMs);
  }
}

const tickMs = 500;
/** The longest delay is 63.5 s; an item with a longer one is looked at early and says so again. */
const slotCount = 128;
