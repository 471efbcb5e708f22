import type { StreamEntry } from "./streams.ts";

/** What is kept at most: some seconds of a busy stream. */
const entriesMax = 8_192;
const bytesMax = 16 << 20;

/** The newest entries of a stream, so that workers which keep up read nothing from the disk. */
export class StreamTail {
  /** Consecutive sequences, from index `start` on. */
  private entries: (StreamEntry | undefined)[] = [];
  private start = 0;
  private bytes = 0;

  /** Adds the entry after the last one. */
  push(entry: StreamEntry): void {
    this.entries.push(entry);
    this.bytes += entry.data.length;
    while (this.entries.length - this.start > entriesMax || this.bytes > bytesMax) {
      this.bytes -= this.entries[this.start]!.data.length;
      this.entries[this.start++] = undefined;
    }
    if (this.start > entriesMax) {
      this.entries = this.entries.slice(this.start);
      this.start = 0;
    }
  }

  /** The entries after a sequence; undefined: the tail begins later. */
  after(sequence: number, limit: number): StreamEntry[] | undefined {
    const first = this.entries[this.start];
    if (!first || sequence + 1 < first.sequence) return undefined;
    const from = this.start + sequence + 1 - first.sequence;
    return this.entries.slice(from, from + limit) as StreamEntry[];
  }

  /** Forgets everything; the next entry may have any sequence. */
  clear(): void {
    this.entries = [];
    this.start = 0;
    this.bytes = 0;
  }
}
