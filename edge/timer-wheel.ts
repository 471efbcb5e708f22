import type { Clock, Timer } from "../mesh/clock.ts";

/** Something that is looked at now and then. */
export interface WheelItem {
  /** Belongs to the wheel. */
  nextInWheel: WheelItem | undefined;
  /** Does what is due and says in how many milliseconds to be looked at again; 0: never. */
  onWheel(nowMs: number): number;
}

/**
 * One timer for any number of items with coarse deadlines. An item stands in one slot at a time,
 * linked through itself: moving it allocates nothing. A deadline that moves on, as with every
 * sign of life, costs nothing until the old one is due, when the item says how much is left.
 */
export class TimerWheel {
  private readonly clock: Clock;
  private readonly slots: (WheelItem | undefined)[] = new Array(slotCount).fill(undefined);
  private tick: number;
  private timer: Timer | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
    this.tick = this.currentTick();
  }

  /** Looks at an item that stands in no slot after `delayMs`, up to one tick later. */
  add(item: WheelItem, delayMs: number): void {
    const ticks = Math.min(slotCount - 1, Math.max(1, Math.ceil(delayMs / tickMs)));
    const slot = (this.tick + ticks) % slotCount;
    item.nextInWheel = this.slots[slot];
    this.slots[slot] = item;
    this.timer ??= this.clock.setTimer(tickMs, this.onTimer);
  }

  /** Looks at nothing any more. */
  stop(): void {
    this.timer?.cancel();
    this.slots.fill(undefined);
  }

  /** Catches up on every tick since the last, however late the timer is. */
  private readonly onTimer = (): void => {
    this.timer = this.clock.setTimer(tickMs, this.onTimer);
    const nowMs = this.clock.monotonicMs();
    for (const current = this.currentTick(); this.tick < current; ) {
      this.tick++;
      const slot = this.tick % slotCount;
      let item = this.slots[slot];
      this.slots[slot] = undefined;
      while (item) {
        const next = item.nextInWheel;
        item.nextInWheel = undefined;
        const delayMs = item.onWheel(nowMs);
        if (delayMs > 0) this.add(item, delayMs);
        item = next;
      }
    }
  };

  private currentTick(): number {
    return Math.floor(this.clock.monotonicMs() / tickMs);
  }
}

const tickMs = 500;
/** The longest delay is 64 s; an item with a longer one is looked at early and says so again. */
const slotCount = 128;
