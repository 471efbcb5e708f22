/**
 * What gathers during one turn of the event loop travels together: an idle system sends at once,
 * a busy one in batches, and no request waits for a timer (DESIGN section 6: one write per
 * message costs 9 times the CPU of one write per turn).
 */
export class TurnBatch<T> {
  private readonly handOver: (items: T[]) => boolean;
  private readonly limits: TurnBatchLimits;
  private queue: { item: T; bytes: number }[] = [];
  private queuedBytes = 0;
  private scheduled = false;
  private blocked = false;

  /** `handOver` returns false when the other side is full: nothing follows until `resume`. */
  constructor(limits: TurnBatchLimits, handOver: (items: T[]) => boolean) {
    this.limits = limits;
    this.handOver = handOver;
  }

  /** Adds an item of about `bytes`; false: the queue is full and the item was not added. */
  add(item: T, bytes: number): boolean {
    const { queueItemsMax, queueBytesMax } = this.limits;
    if (this.queue.length >= queueItemsMax || this.queuedBytes + bytes > queueBytesMax)
      return false;
    this.queue.push({ item, bytes });
    this.queuedBytes += bytes;
    this.schedule();
    return true;
  }

  /** The other side takes more. */
  resume(): void {
    this.blocked = false;
    if (this.queue.length > 0) this.schedule();
  }

  /** Forgets what waits. */
  clear(): void {
    this.queue = [];
    this.queuedBytes = 0;
  }

  private schedule(): void {
    if (this.scheduled || this.blocked) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.flush();
    });
  }

  /** Hands over what waits without waiting for the turn to end. */
  flush(): void {
    const { itemsMax, bytesMax } = this.limits;
    let from = 0;
    while (from < this.queue.length && !this.blocked) {
      const items: T[] = [];
      let bytes = 0;
      for (; from < this.queue.length && items.length < itemsMax; from++) {
        const next = this.queue[from]!;
        if (items.length > 0 && bytes + next.bytes > bytesMax) break;
        items.push(next.item);
        bytes += next.bytes;
      }
      this.queuedBytes -= bytes;
      this.blocked = !this.handOver(items);
    }
    this.queue = from === this.queue.length ? [] : this.queue.slice(from);
  }
}

/** The sizes of batches and of what may wait for them. */
export interface TurnBatchLimits {
  /** Items to a batch. */
  itemsMax: number;
  /** Bytes to a batch; a larger item travels alone. */
  bytesMax: number;
  /** Items that may wait. */
  queueItemsMax: number;
  /** Bytes that may wait. */
  queueBytesMax: number;
}
