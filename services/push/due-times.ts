/** Things that fall due, in steps of a quarter of a second: many share a step, and few steps exist. */
const stepMs = 250;

/** Each thing has one due time at most. */
export class DueTimes<Item extends object> {
  /** By number of the step. */
  private readonly steps = new Map<number, Set<Item>>();
  private readonly stepOf = new Map<Item, number>();

  /** From now on it falls due then, at most a step later. */
  put(item: Item, dueMs: number): void {
    this.remove(item);
    const step = Math.ceil(dueMs / stepMs);
    const items = this.steps.get(step);
    if (items) items.add(item);
    else this.steps.set(step, new Set([item]));
    this.stepOf.set(item, step);
  }

  /** It falls due no more. */
  remove(item: Item): void {
    const step = this.stepOf.get(item);
    if (step === undefined) return;
    this.stepOf.delete(item);
    const items = this.steps.get(step)!;
    items.delete(item);
    if (items.size === 0) this.steps.delete(step);
  }

  /** Takes out at most `max` that are due, the longest due first. */
  take(nowMs: number, max: number): Item[] {
    const now = Math.floor(nowMs / stepMs);
    const due = [...this.steps.keys()].filter((step) => step <= now).sort((a, b) => a - b);
    const taken: Item[] = [];
    for (const step of due) {
      for (const item of this.steps.get(step)!) {
        if (taken.length === max) return taken;
        this.remove(item);
        taken.push(item);
      }
    }
    return taken;
  }
}
