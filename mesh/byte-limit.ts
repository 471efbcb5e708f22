/** Lets work begin while fewer than so many bytes are under way; the rest waits, in turn. */
export class ByteLimit {
  private readonly max: number;
  private underWay = 0;
  private readonly waiting: (() => void)[] = [];

  /** @param max bytes; the last that begins may go beyond it, so that one of any size can */
  constructor(max: number) {
    this.max = max;
  }

  /** How many wait. It is for the callers to bound. */
  get waits(): number {
    return this.waiting.length;
  }

  /** Runs it as soon as it may. */
  async run<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    await new Promise<void>((resolve) => {
      this.waiting.push(() => {
        this.underWay += bytes;
        resolve();
      });
      this.begin();
    });
    try {
      return await work();
    } finally {
      this.underWay -= bytes;
      this.begin();
    }
  }

  private begin(): void {
    while (this.underWay < this.max && this.waiting.length > 0) this.waiting.shift()!();
  }
}
