/**
 * Reads that many ask for at once: of each, one is under way at a time. Who asks meanwhile shares
 * the next, so that everybody gets what was there when they asked, or newer.
 */
export class SharedReads<T> {
  private readonly underWay = new Map<string, Promise<T>>();
  private readonly next = new Map<string, Promise<T>>();

  /** What `start` resolves to, called for this asker or for another with the same key. */
  read(key: string, start: () => Promise<T>): Promise<T> {
    const underWay = this.underWay.get(key);
    const next = this.next.get(key);
    if (next) return next;
    if (!underWay) return this.begin(key, start);
    const begin = () => {
      this.next.delete(key);
      return this.begin(key, start);
    };
    const following = underWay.then(begin, begin);
    this.next.set(key, following);
    return following;
  }

  private begin(key: string, start: () => Promise<T>): Promise<T> {
    const reading = start().finally(() => this.underWay.delete(key));
    this.underWay.set(key, reading);
    return reading;
  }
}
