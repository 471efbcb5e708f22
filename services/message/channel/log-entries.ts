/** Reads of channels' logs, always from the leader. */
import { fromBinary } from "@bufbuild/protobuf";
import { type LogEntry, LogEntrySchema } from "../../../gen/parley/log/v1/log_pb.js";
import { logSubject, type Stream, type StreamEntry } from "../../../mesh/streams.ts";

/** An entry is none of Parley's, or damaged. */
export class Undecodable extends Error {
  override readonly name = "Undecodable";
}

/** The entry as it was appended. @throws Undecodable */
export function decode(entry: StreamEntry): LogEntry {
  const { subject, sequence } = entry;
  let decoded: LogEntry;
  try {
    decoded = fromBinary(LogEntrySchema, entry.data);
  } catch (cause) {
    throw new Undecodable(`entry ${sequence} of ${subject}: ${cause}`, { cause });
  }
  // What is no entry at all often decodes as one in which nothing is set.
  if (logSubject(decoded.channelId) !== subject) {
    throw new Undecodable(`entry ${sequence} of ${subject} is not this channel's`);
  }
  return decoded;
}

/** The same; undefined: it can't be decoded. The workers put it aside, see parking.ts. */
export function decodeOrSkip(entry: StreamEntry): LogEntry | undefined {
  try {
    return decode(entry);
  } catch {
    return undefined;
  }
}

/** A channel's entries of a range of log sequences, both ends inclusive. @throws StreamUnavailable */
export async function* entriesOf(
  channelId: string,
  log: Stream,
  fromSequence: number,
  toSequence: number = Number.MAX_SAFE_INTEGER,
): AsyncGenerator<StreamEntry> {
  for (let next = fromSequence, more = next <= toSequence; more; ) {
    const options = { fromSequence: next, toSequence, fromLeader: true };
    const page = await log.read(logSubject(channelId), options);
    for (const entry of page.entries) {
      yield entry;
      next = entry.sequence + 1;
    }
    more = page.more;
  }
}
