/** Makes UUIDv7s (RFC 9562 section 5.7), each greater than the one before. */
export class UuidV7 {
  private lastMs: number;

  /** @param after continues after this id of an earlier generator */
  constructor(after?: string) {
    this.lastMs = after === undefined ? 0 : uuidV7TimeMs(after);
  }

  /**
   * The next id. Where the clock stands still or steps back, the id's time runs ahead of it by a
   * millisecond for each id, so that ids sort as they were made.
   */
  next(nowMs: number): string {
    this.lastMs = Math.max(this.lastMs + 1, Math.trunc(nowMs));
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
