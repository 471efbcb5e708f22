import type { LmdbDatabase } from "./lmdb.ts";
import type { GroupCommit, GroupedWrite } from "./lmdb-group-commit.ts";
import {
  type DeadLetter,
  type DeadLetters,
  type PlacedDeadLetter,
  StreamUnavailable,
} from "./streams.ts";
import {
  checkListLimit,
  deadLetterKey,
  deadLettersMax,
  decodeDeadLetter,
  encodeDeadLetter,
} from "./streams-dead-letters.ts";

/** Dead letters in a database of their own, by their keys. */
export class LmdbDeadLetters implements DeadLetters {
  private readonly letters: LmdbDatabase;
  private readonly commits: GroupCommit;
  private readonly checkOpen: () => void;

  constructor(letters: LmdbDatabase, commits: GroupCommit, checkOpen: () => void) {
    this.letters = letters;
    this.commits = commits;
    this.checkOpen = checkOpen;
  }

  async park(letter: DeadLetter): Promise<void> {
    this.checkOpen();
    const key = Buffer.from(deadLetterKey(letter));
    if (this.letters.getBinary(key)) return;
    if (this.size() >= deadLettersMax) {
      throw new StreamUnavailable(`${deadLettersMax} dead letters are there already`);
    }
    const value = encodeDeadLetter(letter);
    await new Promise<void>((resolve, reject) => {
      const write: GroupedWrite = {
        bytes: value.length,
        write: () => void this.letters.put(key, value),
        committed: resolve,
        failed: (cause) => reject(new StreamUnavailable("the commit failed", { cause })),
      };
      if (!this.commits.add(write)) reject(new StreamUnavailable("too many writes wait"));
    });
  }

  async count(): Promise<number> {
    this.checkOpen();
    return this.size();
  }

  /** A place is a key. */
  async list(after: string, limit: number): Promise<PlacedDeadLetter[]> {
    checkListLimit(limit);
    this.checkOpen();
    // The least key above it.
    const start = Buffer.from(`${after}\0`);
    return Array.from(this.letters.getRange({ start, limit }), ({ key, value }) => ({
      ...decodeDeadLetter(value),
      place: key.toString(),
    }));
  }

  private size(): number {
    return (this.letters.getStats() as { entryCount: number }).entryCount;
  }
}
