/** How dead letters are named and encoded, the same in all adapters. */
import { fieldInvalid } from "./errors.ts";
import type { DeadLetter, StreamEntry } from "./streams.ts";

/** How many are kept. */
export const deadLettersMax = 10_000;

const reasonCharactersMax = 1_000;
const listMax = 100;

/** A letter's name: the same for the same entry of the same worker. One token of a subject. */
export function deadLetterKey({ worker, stream, epoch, entry }: DeadLetter): string {
  return `${worker}-${stream}-${epoch}-${entry.sequence}`;
}

/** A line of JSON that says what it is, then the entry's data as they are. */
export function encodeDeadLetter(letter: DeadLetter): Buffer {
  const { worker, stream, epoch, entry } = letter;
  const { sequence, subject, data } = entry;
  const reason = letter.reason.slice(0, reasonCharactersMax);
  const head: Head = { worker, stream, epoch, sequence, subject, reason };
  return Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), data]);
}

/** The letter that was encoded. */
export function decodeDeadLetter(bytes: Uint8Array): DeadLetter {
  const end = bytes.indexOf(newline);
  const head: Head = JSON.parse(Buffer.from(bytes.subarray(0, end)).toString());
  const { sequence, subject, ...letter } = head;
  return { ...letter, entry: { sequence, subject, data: bytes.slice(end + 1) } };
}

const newline = 10;

/** The line before the entry's data. */
type Head = Omit<DeadLetter, "entry"> & Pick<StreamEntry, "sequence" | "subject">;

/** @throws DomainError FIELD_INVALID */
export function checkListLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= listMax) return;
  throw fieldInvalid("limit", `is ${limit}; an integer from 1 to ${listMax} is possible`);
}
