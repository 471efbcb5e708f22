/** How dead letters are named and encoded, the same in all adapters. */
import type { DeadLetter } from "./streams.ts";

/** How many are kept. */
export const deadLettersMax = 10_000;

const reasonCharactersMax = 1_000;

/** A letter's name: the same for the same entry of the same worker. One token of a subject. */
export function deadLetterKey({ worker, stream, epoch, entry }: DeadLetter): string {
  return `${worker}-${stream}-${epoch}-${entry.sequence}`;
}

/** A line of JSON that says what it is, then the entry's data as they are. */
export function encodeDeadLetter(letter: DeadLetter): Buffer {
  const { worker, stream, epoch, entry } = letter;
  const { sequence, subject, data } = entry;
  const reason = letter.reason.slice(0, reasonCharactersMax);
  const head = JSON.stringify({ worker, stream, epoch, sequence, subject, reason });
  return Buffer.concat([Buffer.from(`${head}\n`), data]);
}
