import { create, fromBinary, fromJsonString, toJsonString } from "@bufbuild/protobuf";
import {
  ClientFrameSchema,
  EventSchema,
  ServerFrameSchema,
} from "../gen/parley/edge/v1/frame_pb.js";
import { InboxEntrySchema } from "../gen/parley/log/v1/log_pb.js";
import { channelDeliveries } from "./channel-frames.ts";
import type { FrameCodec, ServerFrameContent } from "./frame-codec.ts";

/** `parley.v1.json`: ProtoJSON text messages. Fields that the edge does not know are ignored. */
export const jsonFrames: FrameCodec = {
  subprotocol: "parley.v1.json",
  format: "json",

  decode(data, isBinary) {
    if (isBinary) throw new Error("a binary message; parley.v1.json has text ones");
    return fromJsonString(ClientFrameSchema, data.toString(), { ignoreUnknownFields: true }).frame;
  },

  encode,

  encodeDeliveries(deliveries) {
    const decoded = deliveries.map(({ sequence, prevSequence, data }) => ({
      inboxSequence: BigInt(sequence),
      prevInboxSequence: BigInt(prevSequence),
      entry: fromBinary(InboxEntrySchema, data),
    }));
    return encode({ case: "deliveries", value: { deliveries: decoded } });
  },

  encodeBatch: (batch) => encode(channelDeliveries(batch)),

  encodeEvent(data) {
    return encode({ case: "event", value: fromBinary(EventSchema, data) });
  },
};

function encode(frame: ServerFrameContent): string {
  return toJsonString(ServerFrameSchema, create(ServerFrameSchema, { frame }));
}
