import type { Item, LogEntry } from "../../../gen/parley/log/v1/log_pb.js";

/** A message, or a revision of one: what has a `channel_sequence`. */
export type ChannelItem = Exclude<Item["item"], { case: undefined }>;

/** The items of an entry, in order. */
export function itemsOf(entry: LogEntry): ChannelItem[] {
  return entry.items.flatMap(({ item }) => (item.case === undefined ? [] : item));
}
