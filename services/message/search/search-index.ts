/**
 * The search index behind Message: which texts have which words and mention whom, and who may read
 * them. This comment is the specification; `search-index.contract.ts` checks it for every adapter.
 *
 * Everything here is a projection of the log, and no text is kept. Writes are idempotent and may
 * come again, late and in any order: of two states of one thing the one with the greater sequence
 * stays. The worker writes the items of a channel in their order, and who may read a text before
 * it: what is said after a removal is never there before the removal is.
 */
import { fieldInvalid } from "../../../mesh/errors.ts";
import type { MembershipRow } from "../store/message-store.ts";
import type { Phrase } from "./search-query.ts";

/** What a text is found by. */
export interface IndexedText {
  channelId: string;
  messageId: bigint;
  /** The place of the message. */
  channelSequence: number;
  /** The item that the text comes from: the message itself, its last edit, its deletion. */
  sequence: number;
  senderId: string;
  /** Empty for what was deleted. */
  text: string;
  mentionedUserIds: readonly string[];
}

/** What one batch of the log comes to: at most 1,024 of a kind. */
export interface IndexBatch {
  texts: readonly IndexedText[];
  memberships: readonly MembershipRow[];
  channels: readonly IndexedChannel[];
}

/** A channel as of its item number `sequence`. */
export interface IndexedChannel {
  channelId: string;
  /** Whether members find what was sent before they joined. */
  historyBeforeJoining: boolean;
  sequence: number;
}

/** What is looked for: messages that fulfil all of it. */
export interface IndexQuery {
  /**
   * Who asks, and finds only texts that are from a stay of theirs, message and last change; a
   * member of a channel that shows its history all of it.
   */
  userId: string;
  /** Only there. Default: in all channels. */
  channelId?: string;
  /** All of them. Default: any text. */
  phrases?: readonly Phrase[];
  senderId?: string;
  mentionedUserId?: string;
  /** True: the best first, of the 10,000 newest; else the newest first. */
  byRank: boolean;
  /** Those that follow this one. */
  after?: IndexPosition;
  /** 1 to 1,000. */
  limit: number;
}

/** Where a found message stands in the order. */
export interface IndexPosition {
  /**
   * How well it fits, 0 and more: how often and how near each other it has the words, and how
   * short it is. Of equals the newer is better. 0 in the order of time.
   */
  rank: number;
  messageId: bigint;
}

/** A message that fits. */
export interface IndexHit extends IndexPosition {
  channelId: string;
}

/** The index. Every method rejects with SqlUnavailable when it can't be reached. */
export interface SearchIndex {
  /** Stores a batch, durably. */
  apply(batch: IndexBatch): Promise<void>;
  /** In the order asked for. */
  find(query: IndexQuery): Promise<IndexHit[]>;
}

/** Things of a kind to one batch. */
export const indexRowsMax = 1_024;

/** @throws DomainError FIELD_INVALID for a batch of more */
export function checkIndexBatch(batch: IndexBatch): void {
  for (const kind of ["texts", "memberships", "channels"] as const) {
    const { length } = batch[kind];
    if (length <= indexRowsMax) continue;
    throw fieldInvalid(kind, `are ${length}; at most ${indexRowsMax} a batch`);
  }
}

/** How many of the newest are ranked. */
export const rankedMax = 10_000;
