import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  ClientFrameSchema,
  DeliveriesSchema,
  DeliverySchema,
  ServerFrameSchema,
} from "../gen/parley/edge/v1/frame_pb.js";
import { channelDeliveries } from "./channel-frames.ts";
import type { FrameCodec, ServerFrameContent } from "./frame-codec.ts";

/** `parley.v1.protobuf`: binary messages. */
export const protobufFrames: FrameCodec = {
  subprotocol: "parley.v1.protobuf",
  format: "protobuf",

  decode(data, isBinary) {
    if (!isBinary) throw new Error("a text message; parley.v1.protobuf has binary ones");
    return fromBinary(ClientFrameSchema, data).frame;
  },

  encode,

  /** The entries' bytes pass through undecoded. */
  encodeDeliveries(deliveries) {
    const writer = new BinaryWriter();
    writer.uint32(tags.deliveries).fork();
    for (const { sequence, prevSequence, data } of deliveries) {
      writer.uint32(tags.delivery).fork();
      if (sequence !== 0) writer.uint32(tags.sequence).int64(sequence);
      if (prevSequence !== 0) writer.uint32(tags.prevSequence).int64(prevSequence);
      writer.uint32(tags.entry).bytes(data).join();
    }
    return writer.join().finish();
  },

  encodeBatch: (batch) => encode(channelDeliveries(batch)),

  encodeEvent(data) {
    return new BinaryWriter().uint32(tags.event).bytes(data).finish();
  },
};

function encode(frame: ServerFrameContent): Uint8Array {
  return toBinary(ServerFrameSchema, create(ServerFrameSchema, { frame }));
}

const tags = {
  deliveries: tag(ServerFrameSchema.field.deliveries.number, WireType.LengthDelimited),
  event: tag(ServerFrameSchema.field.event.number, WireType.LengthDelimited),
  delivery: tag(DeliveriesSchema.field.deliveries.number, WireType.LengthDelimited),
  sequence: tag(DeliverySchema.field.inboxSequence.number, WireType.Varint),
  prevSequence: tag(DeliverySchema.field.prevInboxSequence.number, WireType.Varint),
  entry: tag(DeliverySchema.field.entry.number, WireType.LengthDelimited),
};

function tag(fieldNumber: number, wireType: WireType): number {
  return (fieldNumber << 3) | wireType;
}
