/**
 * Searches and mentions: the index says which messages fit, the history shows them, as they are now
 * and as far as the caller may read them. What the index has not heard of yet (an edit, a removal)
 * is not shown.
 */
import type { Message } from "../../../gen/parley/message/v1/message_pb.js";
import type {
  ListMentionsRequest,
  SearchMessagesRequest,
} from "../../../gen/parley/message/v1/message_service_pb.js";
import { SearchOrder } from "../../../gen/parley/message/v1/search_pb.js";
import type { Clock } from "../../../mesh/clock.ts";
import { DomainError } from "../../../mesh/errors.ts";
import { messageIdMax } from "../../../mesh/ids.ts";
import { Outage, type OutageOptions } from "../../../mesh/outage.ts";
import { SqlUnavailable } from "../../../mesh/sql.ts";
import {
  type HistoryDependencies,
  type HistorySource,
  type IdRange,
  openHistory,
} from "../history/history-source.ts";
import { bytesOf } from "../history/message-bytes.ts";
import { asUnavailable } from "../message-codes.ts";
import { readRankToken, writeRankToken } from "../page-tokens.ts";
import { checkChannelId, checkUserId, pageSize } from "../request-fields.ts";
import type { IndexHit, IndexQuery, SearchIndex } from "./search-index.ts";
import { notIndexed } from "./search-lag.ts";
import { findPhrases, parseQuery, type TextRange } from "./search-query.ts";

/** What searching needs. */
export interface SearchDependencies extends HistoryDependencies {
  index: SearchIndex;
  clock: Clock;
  /** Told whether the index answers. */
  indexOutage: Outage;
}

/** The outage of a process's index. */
export function indexOutage(parts: Pick<OutageOptions, "logger" | "clock">): Outage {
  return new Outage({ ...parts, level: "warn", began: "search_degraded", ended: "search_whole" });
}

/** A message that was found. */
export interface Found {
  message: Message;
  highlights: TextRange[];
}

/** A page of what was found. */
export interface SearchPage {
  found: Found[];
  nextPageToken: string;
  degraded: boolean;
  degradedRanges: IdRange[];
}

const pageSizeDefault = 20;
const pageSizeMax = 50;
/** Bytes of a page: it ends early rather than exceed what a frame can carry. */
const pageBytesMax = 384 * 1024;
/** All that there is. */
const everything: IdRange = { minMessageId: 1n, maxMessageId: messageIdMax };

/** Looks for texts. @throws DomainError NOT_A_MEMBER, CHANNEL_DELETED, FIELD_INVALID, OVERLOADED */
export async function searchMessages(
  request: SearchMessagesRequest,
  userId: string,
  deps: SearchDependencies,
): Promise<SearchPage> {
  const { channelId, senderId, order } = request;
  const phrases = parseQuery(request.query);
  if (senderId !== "") checkUserId("sender_id", senderId);
  const reader = new Reader(userId, deps);
  if (channelId !== "") {
    checkChannelId(channelId);
    await reader.open(channelId);
  }
  const byRank = order !== SearchOrder.NEWEST_FIRST;
  const query = { userId, channelId, senderId, phrases, byRank };
  return readPage(query, request, reader, deps, (message) => {
    if (message.body.case !== "text") return undefined;
    const highlights = findPhrases(message.body.value, phrases);
    return highlights.length > 0 ? { message, highlights } : undefined;
  });
}

/** Lists the messages that mention the user. @throws DomainError FIELD_INVALID, OVERLOADED */
export async function listMentions(
  request: ListMentionsRequest,
  userId: string,
  deps: SearchDependencies,
): Promise<SearchPage> {
  const query = { userId, mentionedUserId: userId, byRank: false };
  return readPage(query, request, new Reader(userId, deps), deps, (message) => {
    return message.body.case === "text" ? { message, highlights: [] } : undefined;
  });
}

/**
 * Reads a page of what the index finds.
 * @param show undefined: the message does not fit any more.
 */
async function readPage(
  query: Omit<IndexQuery, "after" | "limit">,
  request: { pageSize: number; pageToken: string },
  reader: Reader,
  deps: SearchDependencies,
  show: (message: Message) => Found | undefined,
): Promise<SearchPage> {
  const size = pageSize(request.pageSize, pageSizeDefault, pageSizeMax);
  const after = request.pageToken === "" ? undefined : readRankToken(request.pageToken);
  // Before the index is asked: what it hears of meanwhile may be missing all the same.
  const degradedRanges = await notIndexed(query, deps);
  const hits = await fits({ ...query, ...(after && { after }), limit: size + 1 });
  const messages = await Promise.all(hits.slice(0, size).map((hit) => reader.read(hit)));
  const found: Found[] = [];
  let bytes = 0;
  let shown = 0;
  for (const message of messages) {
    const item = message && show(message);
    if (item) {
      bytes += bytesOf(item.message);
      if (bytes > pageBytesMax && found.length > 0) break;
      found.push(item);
    }
    shown++;
  }
  degradedRanges.push(...reader.missing);
  return {
    found,
    nextPageToken: hits.length > shown ? writeRankToken(hits[shown - 1]!) : "",
    degraded: degradedRanges.length > 0,
    degradedRanges,
  };

  async function fits(wanted: IndexQuery): Promise<IndexHit[]> {
    try {
      const hits = await deps.index.find(wanted);
      deps.indexOutage.worked();
      return hits;
    } catch (err) {
      if (!(err instanceof SqlUnavailable)) throw err;
      deps.indexOutage.failed(err);
      degradedRanges.push(everything);
      return [];
    }
  }
}

/** Reads found messages as a user may see them. */
class Reader {
  /** What could not be read. */
  readonly missing: IdRange[] = [];
  private readonly userId: string;
  private readonly deps: SearchDependencies;
  private readonly sources = new Map<string, Promise<HistorySource>>();

  constructor(userId: string, deps: SearchDependencies) {
    this.userId = userId;
    this.deps = deps;
  }

  /** @throws DomainError NOT_A_MEMBER, UNAVAILABLE */
  open(channelId: string): Promise<HistorySource> {
    let source = this.sources.get(channelId);
    if (!source) {
      source = openHistory(channelId, this.userId, this.deps);
      this.sources.set(channelId, source);
    }
    return source;
  }

  /** The message; undefined: the user may not read it, or it can't be read and is missing. */
  async read({ channelId, messageId }: IndexHit): Promise<Message | undefined> {
    try {
      const source = await this.open(channelId);
      const [message] = await source.read(messageId, messageId, false, 1);
      if (!message) this.missing.push(...source.missing());
      return message && source.visibility.includes(message.channelSequence) ? message : undefined;
    } catch (thrown) {
      const error = asUnavailable(thrown);
      if (!(error instanceof DomainError)) throw error;
      if (error.reason === "UNAVAILABLE") {
        this.missing.push({ minMessageId: messageId, maxMessageId: messageId });
      } else if (error.reason !== "NOT_A_MEMBER" && error.reason !== "CHANNEL_DELETED") {
        throw error;
      }
      return undefined;
    }
  }
}
