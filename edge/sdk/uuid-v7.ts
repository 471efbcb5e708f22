/** How far ids may be ahead of the clock: past it the clock was wrong when they were made. */
const aheadMsMax = 60_000;

/**
 * Makes UUIDv7s (RFC 9562 section 5.7), each greater than the one before, unless the clock steps
 * back by more than a minute: services refuse ids that are far ahead of their clock.
 */
export class UuidV7 {
  private lastMs: number;

  /** @param after continues after this id of an earlier generator */
  constructor(after?: string) {
    this.lastMs = after === undefined ? 0 : uuidV7TimeMs(after);
  }

  /**
   * The next id. Where the clock stands still or steps back a little, the id's time runs ahead of
   * it by a millisecond for each id, so that ids sort as they were made.
   */
  next(nowMs: number): string {
    const timeMs = Math.trunc(nowMs);
    const isFarBack = this.lastMs - timeMs > aheadMsMax;
    this.lastMs = isFarBack ? timeMs : Math.max(this.lastMs + 1, timeMs);
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const view = new DataView(bytes.buffer);
    view.setUint32(0, Math.floor(this.lastMs / 2 ** 16));
    view.setUint16(4, this.lastMs % 2 ** 16);
    view.setUint8(6, 0x70 | (bytes[6]! & 0x0f));
    view.setUint8(8, 0x80 | (bytes[8]! & 0x3f));
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }
}

/** The time in a UUIDv7, in milliseconds since 1970. */
export function uuidV7TimeMs(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
