/**
 * A map that keeps at least the `sizeMax / 2` entries that were set or got last, and at most
 * `sizeMax`. It has two generations: when the young one is full it becomes the old one, and what
 * was old is forgotten at once. (Removing the first key of one `Map` again and again is slow:
 * V8 walks over the holes of those removed before.)
 */
export class RecentMap<Key, Value> {
  private readonly youngMax: number;
  private young = new Map<Key, Value>();
  private old = new Map<Key, Value>();

  constructor(sizeMax: number) {
    this.youngMax = Math.max(1, Math.floor(sizeMax / 2));
  }

  get(key: Key): Value | undefined {
    const value = this.young.get(key);
    if (value !== undefined) return value;
    const oldValue = this.old.get(key);
    if (oldValue !== undefined) this.set(key, oldValue);
    return oldValue;
  }

  set(key: Key, value: Value): void {
    if (this.young.size >= this.youngMax && !this.young.has(key)) {
      this.old = this.young;
      this.young = new Map();
    }
    this.young.set(key, value);
  }

  delete(key: Key): void {
    this.young.delete(key);
    this.old.delete(key);
  }
}
