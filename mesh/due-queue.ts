/** What falls due, the earliest first: a binary heap whose items know their places. */

/** An item; a queue alone changes both. */
export interface Due {
  /** By whichever clock the queue's owner goes by. */
  dueMs: number;
  /** Its place in the heap; -1: it is in no queue. */
  dueIndex: number;
}

/** Adding and removing take a time that grows with the logarithm of the number of items. */
export class DueQueue<T extends Due> {
  private readonly heap: T[] = [];

  /** The item that is due first. */
  get first(): T | undefined {
    return this.heap[0];
  }

  /** Adds an item that is in no queue. */
  add(item: T, dueMs: number): void {
    item.dueMs = dueMs;
    this.rise(item, this.heap.length);
  }

  /** Takes an item out, if it is in. */
  remove(item: T): void {
    const index = item.dueIndex;
    if (index < 0) return;
    item.dueIndex = -1;
    const last = this.heap.pop()!;
    if (last === item) return;
    this.rise(last, index);
    this.sink(last, last.dueIndex);
  }

  private rise(item: T, from: number): void {
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.heap[parent]!.dueMs <= item.dueMs) break;
      this.place(this.heap[parent]!, index);
      index = parent;
    }
    this.place(item, index);
  }

  private sink(item: T, from: number): void {
    let index = from;
    while (true) {
      const [left, right] = [this.heap[2 * index + 1], this.heap[2 * index + 2]];
      const child = right && right.dueMs < left!.dueMs ? right : left;
      if (!child || child.dueMs >= item.dueMs) break;
      const next = child.dueIndex;
      this.place(child, index);
      index = next;
    }
    this.place(item, index);
  }

  private place(item: T, index: number): void {
    this.heap[index] = item;
    item.dueIndex = index;
  }
}
