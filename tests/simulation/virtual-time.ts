/**
 * The only scheduler of a run: events on a virtual clock. Between two events all microtasks run
 * until none is left, so what happens depends on the order of the events alone.
 */
interface Event {
  dueMs: number;
  order: number;
  run: (() => void) | undefined;
}

/** An event that has not happened yet. */
export interface Scheduled {
  cancel(): void;
}

/** Virtual time, in milliseconds since the run began. */
export class VirtualTime {
  /** Now. */
  nowMs = 0;
  /** How often time was made to pass at once. */
  jumps = 0;
  /** Events that have happened. */
  count = 0;
  private order = 0;
  /** A binary heap. */
  private readonly events: Event[] = [];

  /** Lets `run` happen after a delay; events of one moment happen in the order of these calls. */
  schedule(delayMs: number, run: () => void): Scheduled {
    return this.scheduleAt(this.nowMs + Math.max(0, delayMs), run);
  }

  /** Lets `run` happen at a time. */
  scheduleAt(dueMs: number, run: () => void): Scheduled {
    const event: Event = { dueMs, order: this.order++, run };
    this.push(event);
    return {
      cancel: () => {
        event.run = undefined;
      },
    };
  }

  /** Resolves after the delay. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.schedule(delayMs, resolve);
    });
  }

  /** Lets events happen until `isOver`, asked before each, or until none is left by `untilMs`. */
  async run(untilMs: number, isOver: () => boolean): Promise<void> {
    await quiet();
    while (!isOver()) {
      const event = this.events[0];
      if (!event || event.dueMs > untilMs) {
        this.nowMs = Math.max(this.nowMs, untilMs);
        return;
      }
      this.pop();
      if (!event.run) continue;
      this.nowMs = Math.max(this.nowMs, event.dueMs);
      this.count++;
      event.run();
      await quiet();
    }
  }

  /** Time passes at once, as for machines that were suspended: what falls due happens after it. */
  jump(ms: number): void {
    this.nowMs += ms;
    this.jumps++;
  }

  private push(event: Event): void {
    const { events } = this;
    let at = events.length;
    for (let parent = (at - 1) >> 1; at > 0 && isBefore(event, events[parent]!); ) {
      events[at] = events[parent]!;
      at = parent;
      parent = (at - 1) >> 1;
    }
    events[at] = event;
  }

  private pop(): void {
    const { events } = this;
    const last = events.pop()!;
    if (events.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child++;
      if (!isBefore(events[child]!, last)) break;
      events[at] = events[child]!;
      at = child;
    }
    events[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}

/** Resolves when no microtask is left: only then does Node look at its queue of ticks. */
function quiet(): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(resolve);
  });
}
