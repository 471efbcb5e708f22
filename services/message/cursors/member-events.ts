/** What members are told that is not stored: published on their inboxes' live subjects. */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { EventSchema } from "../../../gen/parley/edge/v1/frame_pb.js";
import type { Streams } from "../../../mesh/streams.ts";

type Content = NonNullable<MessageInitShape<typeof EventSchema>["event"]>;

/** Tells users who are connected; it is encoded once. */
export function tell(
  userIds: Iterable<string>,
  event: Content,
  streams: Pick<Streams, "publishInbox">,
): void {
  const data = toBinary(EventSchema, create(EventSchema, { event }));
  for (const userId of userIds) streams.publishInbox(userId, data);
}
