import type { GroupedWrite } from "./lmdb-group-commit.ts";
import { type AppendOptions, AppendOutcomeUnknown, StreamUnavailable } from "./streams.ts";
import type { FrontBounds } from "./streams-lmdb-records.ts";

/** What becomes of an append when its turn comes. */
export type Placement =
  | { kind: "new"; sequence: number; prevSequence: number }
  /** It repeats the entry of this sequence. */
  | { kind: "repeated"; sequence: number }
  | { kind: "refused"; error: Error };

/** The stream that the writes go to. */
export interface WrittenStream {
  /** Puts the entry of an append if it is to be. */
  place(append: LmdbAppend): Placement;
  /** A new entry is on disk. */
  stored(append: LmdbAppend, sequence: number, prevSequence: number): void;
  /** A new entry was not stored after all. */
  withdraw(append: LmdbAppend): void;
  /** Removes the oldest entries and says how many. */
  removeFront(bounds: Omit<FrontBounds, "after">): number;
}

/** An append that waits for its group. */
export class LmdbAppend implements GroupedWrite {
  readonly subject: string;
  readonly options: AppendOptions;
  readonly record: Buffer;
  private readonly stream: WrittenStream;
  private readonly resolve: (sequence: number) => void;
  private readonly reject: (error: Error) => void;
  private placement: Placement | undefined;

  constructor(
    stream: WrittenStream,
    subject: string,
    record: Buffer,
    options: AppendOptions,
    resolve: (sequence: number) => void,
    reject: (error: Error) => void,
  ) {
    this.stream = stream;
    this.subject = subject;
    this.record = record;
    this.options = options;
    this.resolve = resolve;
    this.reject = reject;
  }

  get bytes(): number {
    return this.record.length;
  }

  write(): void {
    this.placement = this.stream.place(this);
  }

  committed(): void {
    const placement = this.placement!;
    if (placement.kind === "refused") {
      // Only now, so that who reads after a refusal finds the entry that it was refused for.
      this.reject(placement.error);
      return;
    }
    if (placement.kind === "new") {
      this.stream.stored(this, placement.sequence, placement.prevSequence);
    }
    this.resolve(placement.sequence);
  }

  failed(cause: unknown): void {
    if (this.placement?.kind === "new") this.stream.withdraw(this);
    const ErrorClass =
      this.placement && this.placement.kind !== "refused"
        ? AppendOutcomeUnknown
        : StreamUnavailable;
    this.reject(new ErrorClass("the commit failed", { cause }));
  }
}

/** A part of a trim. */
export class FrontRemoval implements GroupedWrite {
  readonly bytes = 0;
  private readonly stream: WrittenStream;
  private readonly bounds: Omit<FrontBounds, "after">;
  private readonly resolve: (count: number) => void;
  private readonly reject: (error: Error) => void;
  private count = 0;

  constructor(
    stream: WrittenStream,
    bounds: Omit<FrontBounds, "after">,
    resolve: (count: number) => void,
    reject: (error: Error) => void,
  ) {
    this.stream = stream;
    this.bounds = bounds;
    this.resolve = resolve;
    this.reject = reject;
  }

  write(): void {
    this.count = this.stream.removeFront(this.bounds);
  }

  committed(): void {
    this.resolve(this.count);
  }

  failed(cause: unknown): void {
    this.reject(new StreamUnavailable("the commit failed", { cause }));
  }
}
