import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ClientFrame, ServerFrameSchema } from "../gen/parley/edge/v1/frame_pb.js";
import type { BatchFormat, ChannelBatch } from "../mesh/channel-batch.ts";
import type { FeedDelivery } from "../mesh/subject-feed-following.ts";

/** What a server frame holds. */
export type ServerFrameContent = NonNullable<MessageInitShape<typeof ServerFrameSchema>["frame"]>;

/** How one subprotocol writes frames. Stateless: shared by all its connections. */
export interface FrameCodec extends BatchFormat<Uint8Array | string> {
  /** The WebSocket subprotocol. */
  readonly subprotocol: string;
  /** The field of a Call's request and of its Result that carries the message. */
  readonly format: "protobuf" | "json";

  /** Reads a client's frame. @throws Error that says what is wrong with it. */
  decode(data: Buffer, isBinary: boolean): ClientFrame["frame"];

  /** Writes any frame. */
  encode(content: ServerFrameContent): Uint8Array | string;

  /** Writes a Deliveries frame from inbox entries as they are stored. */
  encodeDeliveries(deliveries: readonly FeedDelivery[]): Uint8Array | string;

  /** Writes a ChannelDeliveries frame. */
  encodeBatch(batch: ChannelBatch): Uint8Array | string;

  /** Writes an Event frame from an encoded parley.edge.v1.Event. */
  encodeEvent(data: Uint8Array): Uint8Array | string;
}
