/** Reads of channels' logs, always from the leader. */
import { fromBinary } from "@bufbuild/protobuf";
import { type LogEntry, LogEntrySchema } from "../../gen/parley/log/v1/log_pb.js";
import { logSubject, type Stream, type StreamEntry } from "../../mesh/streams.ts";

/** The entry as it was appended. */
export function decode(entry: StreamEntry): LogEntry {
  return fromBinary(LogEntrySchema, entry.data);
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
