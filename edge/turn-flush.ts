/** Something that has written during this turn of the event loop. */
export interface Flushable {
  /** Lets go of what was written. */
  flush(): void;
}

/**
 * Collects who has written during a turn of the event loop and lets all of them go at its end:
 * one callback for the whole edge, so that what gathers for a connection travels together.
 */
export class TurnFlush {
  private written: Flushable[] = [];

  /** Flushes `flushable` at the end of this turn. Call once a turn for each. */
  add(flushable: Flushable): void {
    if (this.written.length === 0) setImmediate(this.flush);
    this.written.push(flushable);
  }

  private readonly flush = (): void => {
    const written = this.written;
    this.written = [];
    for (const each of written) each.flush();
  };
}
