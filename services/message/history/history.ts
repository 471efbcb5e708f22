/**
 * Pages of a channel's history: the store's page merged with what the log holds beyond the
 * store, so that a message is in the next page a millisecond after its acknowledgement [H6].
 * Where the store or the log is away, the other serves, and the page says what may be missing.
 */

import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Message, MessageKind } from "../../../gen/parley/message/v1/message_pb.js";
import {
  type ListMessagesRequest,
  MessageOrder,
} from "../../../gen/parley/message/v1/message_service_pb.js";
import { fieldInvalid } from "../../../mesh/errors.ts";
import { firstMessageIdAt, messageIdMax } from "../../../mesh/ids.ts";
import { type Position, readPageToken, writePageToken } from "../page-tokens.ts";
import { checkChannelId, checkMessageId, checkUserId, pageSize } from "../request-fields.ts";
import {
  type HistoryDependencies,
  type HistorySource,
  type IdRange,
  openHistory,
} from "./history-source.ts";
import { bytesOf } from "./message-bytes.ts";
import type { Visibility } from "./visibility.ts";

/** A page, as ListMessagesResponse has it. */
export interface HistoryPage {
  messages: Message[];
  nextPageToken: string;
  previousPageToken: string;
  degraded: boolean;
  degradedRanges: IdRange[];
}

const pageSizeDefault = 50;
const pageSizeMax = 200;
/** Bytes of a page: it ends early rather than exceed what a frame can carry. */
const pageBytesMax = 384 * 1024;
/** Rows looked at for one page; a filter that matches less ends the page early. */
const scanMax = 2_000;
/** Bytes of messages looked at for one page; past it the same. */
const scanBytesMax = 4 * 1024 * 1024;
/** Rows read at once, of any size: a page of the default size, and one that tells of a further. */
const scanChunk = pageSizeDefault + 1;
/** An id's time and the time of acceptance differ: ids are reserved ahead, and may lead 5 s. */
const idTimeSlackMs = 10_000;

/** Reads a page for a user. @throws DomainError NOT_A_MEMBER, FIELD_INVALID, UNAVAILABLE */
export async function listMessages(
  request: ListMessagesRequest,
  userId: string,
  deps: HistoryDependencies,
): Promise<HistoryPage> {
  checkChannelId(request.channelId);
  if (request.senderId !== "") checkUserId("sender_id", request.senderId);
  const size = pageSize(request.pageSize, pageSizeDefault, pageSizeMax);
  const source = await openHistory(request.channelId, userId, deps);
  const filter = new Filter(request, source.visibility);
  const newestFirst = request.order !== MessageOrder.OLDEST_FIRST;
  const position = startPosition(request, newestFirst);

  let run: Run;
  if (position.side === "around") {
    const half = Math.floor(size / 2);
    const older = await scan(source, filter, { upTo: position.id - 1n, limit: half });
    const rest = Math.max(1, size - older.found.length);
    const newer = await scan(source, filter, { from: position.id, limit: rest });
    run = {
      found: [...older.found.reverse(), ...newer.found],
      older: older.beyond,
      newer: newer.beyond,
    };
  } else if (position.side === "before") {
    const { found, beyond } = await scan(source, filter, { upTo: position.id - 1n, limit: size });
    run = { found: found.reverse(), older: beyond, newer: position.id - 1n };
  } else {
    const { found, beyond } = await scan(source, filter, { from: position.id + 1n, limit: size });
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

function page(
  { found, older, newer }: Run,
  newestFirst: boolean,
  source: HistorySource,
): HistoryPage {
  const degradedRanges = source.missing();
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
    degraded: degradedRanges.length > 0,
    degradedRanges,
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
    if (kind !== MessageKind.UNSPECIFIED && kind !== kindOf(message)) return false;
    const timeMs = message.sendTime ? timestampMs(message.sendTime) : 0;
    if (timeMs < this.minTimeMs || timeMs >= this.maxTimeMs) return false;
    return this.visibility.includes(message.channelSequence);
  }
}

/** A text stays one without its body, as a tombstone. */
function kindOf({ body }: Message): MessageKind {
  if (body.case === "membershipChange") return MessageKind.MEMBERSHIP_CHANGE;
  return body.case === "channelChange" ? MessageKind.CHANNEL_CHANGE : MessageKind.TEXT;
}

/** Scans from one end of a range: upwards with `from`, downwards with `upTo`. */
type Scan = { from: bigint; limit: number } | { upTo: bigint; limit: number };

/** The matching messages nearest to the range's end, and from where to go on. */
async function scan(
  source: HistorySource,
  filter: Filter,
  range: Scan,
): Promise<{ found: Message[]; beyond: bigint | undefined }> {
  const upwards = "from" in range;
  let minId = upwards ? max(range.from, filter.minId) : filter.minId;
  let maxId = upwards ? filter.maxId : min(range.upTo, filter.maxId);
  const found: Message[] = [];
  let foundBytes = 0;
  let scannedBytes = 0;
  // Without a filter the first rows are the page, and one more tells that there is another.
  let wanted = Math.min(range.limit + 1, scanChunk);
  for (let scanned = 0; scanned < scanMax && scannedBytes < scanBytesMax; wanted = scanChunk) {
    const chunk = await source.read(minId, maxId, !upwards, wanted);
    scanned += chunk.length;
    for (const message of chunk) {
      const bytes = bytesOf(message);
      scannedBytes += bytes;
      if (filter.admits(message)) {
        foundBytes += bytes;
        if (found.length > 0 && (found.length === range.limit || foundBytes > pageBytesMax)) {
          return { found, beyond: message.messageId };
        }
        if (range.limit === 0) return { found, beyond: message.messageId };
        found.push(message);
      }
      if (upwards) minId = message.messageId + 1n;
      else maxId = message.messageId - 1n;
    }
    if (chunk.length < wanted) return { found, beyond: undefined };
  }
  return { found, beyond: upwards ? minId : maxId };
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
