/** What every adapter of the message store refuses, and how it says that it failed. */
import { DomainError, fieldInvalid } from "../../../mesh/errors.ts";
import { maxId, messageIdMax, minId } from "../../../mesh/ids.ts";
import { type MessageRange, type StoreBatch, StoreUnavailable } from "./message-store.ts";

/** Rows of a kind in one batch. */
export const rowsMax = 1_024;
/** Rows to a page of a list. */
export const pageMax = 1_000;

/** @throws DomainError FIELD_INVALID where there are more than {@link rowsMax} of a kind. */
export function checkBatch(batch: StoreBatch): void {
  for (const [kind, { length }] of Object.entries(batch)) checkRows(kind, length);
}

/** @throws DomainError FIELD_INVALID where there are more than {@link rowsMax}. */
export function checkRows(kind: string, length: number): void {
  if (length > rowsMax) throw fieldInvalid(kind, `are ${length}; at most ${rowsMax} a batch`);
}

/** @throws DomainError FIELD_INVALID where it is not an integer from 1 to {@link pageMax}. */
export function checkLimit(limit: number): void {
  if (!Number.isInteger(limit) || limit < 1 || limit > pageMax) {
    throw fieldInvalid("limit", `is ${limit}; an integer from 1 to ${pageMax} is possible`);
  }
}

/** The range, as far as there can be ids. */
export function withinIds(range: MessageRange): Required<MessageRange> {
  const { minMessageId = 0n, maxMessageId = messageIdMax } = range;
  return {
    ...range,
    minMessageId: maxId(minMessageId, 0n),
    maxMessageId: minId(maxMessageId, messageIdMax),
  };
}

/**
 * Runs what reaches for the store: any failure but a refused argument is the store's.
 * @throws StoreUnavailable with the failure as its cause.
 */
export async function reached<T>(action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof DomainError) throw error;
    throw new StoreUnavailable("the message store can't be reached", { cause: error });
  }
}
