/**
 * Pages of a channel's history: the store's page merged with what the log holds beyond the
 * store, so that a message is in the next page a millisecond after its acknowledgement [H6].
 * Where the store is away, the log alone serves, and the page says what may be missing.
 */

import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Message, MessageKind } from "../../gen/parley/message/v1/message_pb.js";
import {
  type ListMessagesRequest,
  MessageOrder,
} from "../../gen/parley/message/v1/message_service_pb.js";
import { fieldInvalid } from "../../mesh/errors.ts";
import { firstMessageIdAt } from "../../mesh/ids.ts";
import type { Logger } from "../../mesh/logger.ts";
import { logSubject, type Stream } from "../../mesh/streams.ts";
import type { Channels } from "./channels.ts";
import { notAMember } from "./message-codes.ts";
import type { MessageStore } from "./message-store.ts";
import { type Position, readPageToken, writePageToken } from "./page-tokens.ts";
import { persistWorker } from "./persist.ts";
import { checkChannelId, checkMessageId, checkUserId, pageSize } from "./request-fields.ts";
import { messagesAfter } from "./stored-sends.ts";
import { Visibility } from "./visibility.ts";

/** What reading needs. */
export interface HistoryDependencies {
  channels: Channels;
  log: Stream;
  store: MessageStore;
  logger: Logger;
}

/** A page, as ListMessagesResponse has it. */
export interface HistoryPage {
  messages: Message[];
  nextPageToken: string;
  previousPageToken: string;
  degraded: boolean;
  degradedRanges: { minMessageId: bigint; maxMessageId: bigint }[];
}

const pageSizeDefault = 50;
const pageSizeMax = 200;
/** Bytes of a page: it ends early rather than exceed what a frame can carry. */
const pageBytesMax = 384 * 1024;
/** Rows looked at for one page; a filter that matches less ends the page early. */
const scanMax = 2_000;
const scanChunk = 250;
/** An id's time and the time of acceptance differ: ids are reserved ahead, and may lead 5 s. */
const idTimeSlackMs = 10_000;
const messageIdMax = 2n ** 63n - 1n;

/** Reads a page for a user. @throws DomainError NOT_A_MEMBER, FIELD_INVALID, UNAVAILABLE */
export async function listMessages(
  request: ListMessagesRequest,
  userId: string,
  deps: HistoryDependencies,
): Promise<HistoryPage> {
  checkChannelId(request.channelId);
  if (request.senderId !== "") checkUserId("sender_id", request.senderId);
  const size = pageSize(request.pageSize, pageSizeDefault, pageSizeMax);
  const source = await openSource(request.channelId, userId, deps);
  const filter = new Filter(request, source.visibility);
  const newestFirst = request.order !== MessageOrder.OLDEST_FIRST;
  const position = startPosition(request, newestFirst);

  let run: Run;
  if (position.side === "around") {
    const half = Math.floor(size / 2);
    const older = await source.scan(filter, { upTo: position.id - 1n, limit: half });
    const rest = Math.max(1, size - older.found.length);
    const newer = await source.scan(filter, { from: position.id, limit: rest });
    run = {
      found: [...older.found.reverse(), ...newer.found],
      older: older.beyond,
      newer: newer.beyond,
    };
  } else if (position.side === "before") {
    const { found, beyond } = await source.scan(filter, { upTo: position.id - 1n, limit: size });
    run = { found: found.reverse(), older: beyond, newer: position.id - 1n };
  } else {
    const { found, beyond } = await source.scan(filter, { from: position.id + 1n, limit: size });
    run = { found, older: position.id === 0n ? undefined : position.id + 1n, newer: beyond };
  }
  return page(run, newestFirst, source);
}

/** Ascending messages, and from where to read on at either end; undefined: that end is reached. */
interface Run {
  found: Message[];
  older: bigint | undefined;
  newer: bigint | undefined;
}

function page({ found, older, newer }: Run, newestFirst: boolean, source: Source): HistoryPage {
  const first = found[0]?.messageId;
  const last = found.at(-1)?.messageId;
  // A page token names the message that the page lies next to.
  const olderToken = older === undefined ? "" : writePageToken("before", first ?? older + 1n);
  const newerToken = newer === undefined ? "" : writePageToken("after", last ?? newer - 1n);
  const hasNewer = newer !== undefined && (last ?? newer) < source.lastMessageId;
  return {
    messages: newestFirst ? found.reverse() : found,
    nextPageToken: newestFirst ? olderToken : hasNewer ? newerToken : "",
    previousPageToken: newestFirst ? (hasNewer ? newerToken : "") : olderToken,
    degraded: source.missing !== undefined,
    degradedRanges: source.missing ? [source.missing] : [],
  };
}

function startPosition(request: ListMessagesRequest, newestFirst: boolean): Position {
  if (request.pageToken !== "") return readPageToken(request.pageToken);
  const { start } = request;
  if (start.case === undefined) {
    return newestFirst ? { side: "before", id: messageIdMax } : { side: "after", id: 0n };
  }
  const field = { beforeMessageId: "before", afterMessageId: "after", aroundMessageId: "around" };
  const side = field[start.case] as Position["side"];
  checkMessageId(`${side}_message_id`, start.value);
  return { side, id: start.value };
}

/** What a message must be to be in the page. */
class Filter {
  readonly minId: bigint;
  readonly maxId: bigint;
  private readonly minTimeMs: number;
  private readonly maxTimeMs: number;
  private readonly request: ListMessagesRequest;
  private readonly visibility: Visibility;

  constructor(request: ListMessagesRequest, visibility: Visibility) {
    this.request = request;
    this.visibility = visibility;
    const { minTime, maxTime } = request;
    this.minTimeMs = minTime ? timestampMs(minTime) : 0;
    this.maxTimeMs = maxTime ? timestampMs(maxTime) : Number.POSITIVE_INFINITY;
    if (this.minTimeMs >= this.maxTimeMs) {
      throw fieldInvalid("max_time", "must be after min_time");
    }
    this.minId = minTime ? firstMessageIdAt(this.minTimeMs - idTimeSlackMs) : 0n;
    this.maxId = maxTime ? firstMessageIdAt(this.maxTimeMs + idTimeSlackMs) : messageIdMax;
  }

  admits(message: Message): boolean {
    const { senderId, kind } = this.request;
    if (senderId !== "" && message.senderId !== senderId) return false;
    if (kind === MessageKind.TEXT && message.body.case !== "text") return false;
    if (kind === MessageKind.MEMBERSHIP_CHANGE && message.body.case !== "membershipChange") {
      return false;
    }
    const timeMs = message.sendTime ? timestampMs(message.sendTime) : 0;
    if (timeMs < this.minTimeMs || timeMs >= this.maxTimeMs) return false;
    return this.visibility.includes(message.channelSequence);
  }
}

/** Scans from one end of a range: upwards with `from`, downwards with `upTo`. */
type Scan = { from: bigint; limit: number } | { upTo: bigint; limit: number };

/** One channel as one reader may see it: the store below, the log's tail above. */
interface Source {
  visibility: Visibility;
  lastMessageId: bigint;
  missing: { minMessageId: bigint; maxMessageId: bigint } | undefined;
  /** Matching messages from the near end on, and from where to go on. */
  scan(filter: Filter, scan: Scan): Promise<{ found: Message[]; beyond: bigint | undefined }>;
}

async function openSource(
  channelId: string,
  userId: string,
  deps: HistoryDependencies,
): Promise<Source> {
  const { channels, log, store, logger } = deps;
  const { state } = await channels.read(channelId);
  if (!state) throw notAMember(channelId);
  const { lastMessageId } = state.channel;
  let missing: Source["missing"];
  let tail: Message[];
  let stays: Awaited<ReturnType<MessageStore["listStays"]>> = [];
  const persisted = await log.checkpoint(persistWorker, logSubject(channelId));
  try {
    stays = await store.listStays(channelId, userId);
    tail = await collect(messagesAfter(channelId, persisted, log));
  } catch (err) {
    logger.warn({ event: "history_degraded", channelId, err });
    tail = await collect(messagesAfter(channelId, 0, log));
    missing = missingBelow(tail);
  }
  const visibility = Visibility.of(userId, state, stays, tail);
  if (visibility.isNothing) throw notAMember(channelId);

  const source: Source = { visibility, lastMessageId, missing, scan };
  return source;

  async function scan(filter: Filter, range: Scan) {
    const upwards = "from" in range;
    let near = upwards ? max(range.from, filter.minId) : min(range.upTo, filter.maxId);
    const far = upwards ? filter.maxId : filter.minId;
    const found: Message[] = [];
    let bytes = 0;
    for (let scanned = 0; scanned < scanMax; ) {
      const chunk = await readChunk(near, far, upwards);
      scanned += chunk.length;
      for (const message of chunk) {
        if (filter.admits(message)) {
          bytes += message.body.case === "text" ? message.body.value.length * 3 : 0;
          if (found.length > 0 && (found.length === range.limit || bytes > pageBytesMax)) {
            return { found, beyond: message.messageId };
          }
          if (range.limit === 0) return { found, beyond: message.messageId };
          found.push(message);
        }
        near = message.messageId + (upwards ? 1n : -1n);
      }
      if (chunk.length < scanChunk) return { found, beyond: undefined };
    }
    return { found, beyond: near };
  }

  /** The messages next to `near`, of the store and the tail together. */
  async function readChunk(near: bigint, far: bigint, upwards: boolean): Promise<Message[]> {
    const [minMessageId, maxMessageId] = upwards ? [near, far] : [far, near];
    if (minMessageId > maxMessageId) return [];
    const inRange = tail.filter(
      ({ messageId }) => messageId >= minMessageId && messageId <= maxMessageId,
    );
    let stored: Message[] = [];
    if (!source.missing) {
      const range = { channelId, minMessageId, maxMessageId, newestFirst: !upwards };
      try {
        stored = await store.listMessages({ ...range, limit: scanChunk });
      } catch (err) {
        logger.warn({ event: "history_degraded", channelId, err });
        tail = await collect(messagesAfter(channelId, 0, log));
        source.missing = missingBelow(tail);
        return readChunk(near, far, upwards);
      }
    }
    const byId = new Map([...stored, ...inRange].map((message) => [message.messageId, message]));
    const merged = [...byId.values()].sort((a, b) => (a.messageId < b.messageId ? -1 : 1));
    if (!upwards) merged.reverse();
    return merged.slice(0, scanChunk);
  }
}

/** What a page made of the log alone may lack; undefined: the log holds the channel whole. */
function missingBelow(tail: Message[]): Source["missing"] {
  const first = tail[0];
  if (first?.channelSequence === 1) return undefined;
  return { minMessageId: 1n, maxMessageId: (first?.messageId ?? messageIdMax) - 1n };
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
