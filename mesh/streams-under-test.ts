/** What the parts of the contract suite of streams.ts share. */
import type { Stream, Streams } from "./streams.ts";
import type { StreamsRetention } from "./streams-retention.ts";

/** An adapter under test, over an empty store. */
export interface StreamsUnderTest {
  /** Opens the streams; after they were closed: again, over the same store. */
  open(): Promise<Streams>;
  /** Lets this time pass by the adapter's clock, and what is under way go on. */
  pass(ms: number): Promise<void>;
  /** Removes the store. The streams are closed. */
  dispose(): Promise<void>;
}

/** Makes an adapter that keeps what `retention` says. */
export type StreamsFactory = (retention: StreamsRetention) => Promise<StreamsUnderTest>;

/** The streams of the test that runs. */
export interface OpenStreams {
  readonly streams: Streams;
  /** Closes them and opens them again. */
  reopen(): Promise<void>;
  /** Lets this time pass. */
  pass(ms: number): Promise<void>;
  /** Lets time pass until the condition holds. */
  until(condition: () => boolean | Promise<boolean>): Promise<void>;
}

const unlimited = {
  entriesPerSubjectMax: Number.POSITIVE_INFINITY,
  ageMaxMs: Number.POSITIVE_INFINITY,
};

/** What the streams under test keep: small limits, where a stream has any. */
export const testRetention: StreamsRetention = {
  log: unlimited,
  inbox: { ...unlimited, entriesPerSubjectMax: 5 },
  revocations: { ...unlimited, ageMaxMs: 1_000 },
};

/** UTF-8. */
export function bytes(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}

/** UTF-8. */
export function text({ data }: { data: Uint8Array }): string {
  return new TextDecoder().decode(data);
}

/** Each number once, in ascending order. */
export function ascending(numbers: readonly number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}

/** What the leader has of a subject. */
export async function textsOf(stream: Stream, subject: string): Promise<string[]> {
  return (await stream.read(subject, { fromLeader: true })).entries.map(text);
}

/** Appends "0", "1" ... one after the other; their sequences. */
export async function fill(stream: Stream, subject: string, count: number): Promise<number[]> {
  const sequences: number[] = [];
  for (let i = 0; i < count; i++) sequences.push(await stream.append(subject, bytes(`${i}`)));
  return sequences;
}
