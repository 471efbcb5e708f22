import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EventSchema, ServerFrameSchema } from "../gen/parley/edge/v1/frame_pb.js";
import { InboxEntrySchema } from "../gen/parley/log/v1/log_pb.js";
import { jsonFrames } from "./frames-json.ts";
import { protobufFrames } from "./frames-protobuf.ts";

const delivery = fc.record({
  sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  prevSequence: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  text: fc.string({ unit: "binary", maxLength: 300 }),
});

describe("[T1] frames of inbox entries that pass through undecoded", () => {
  it("are what the generated code writes, in Protobuf and in JSON", () => {
    fc.assert(
      fc.property(fc.array(delivery, { maxLength: 20 }), (given) => {
        const stored = given.map(({ sequence, prevSequence, text }) => {
          const body = { case: "text", value: text } as const;
          const item = { case: "message", value: { channelId: "g-1", body } } as const;
          const entry = create(InboxEntrySchema, { items: [{ item }] });
          return { sequence, prevSequence, entry, data: toBinary(InboxEntrySchema, entry) };
        });
        const frame = {
          case: "deliveries",
          value: {
            deliveries: stored.map(({ sequence, prevSequence, entry }) => ({
              inboxSequence: BigInt(sequence),
              prevInboxSequence: BigInt(prevSequence),
              entry,
            })),
          },
        } as const;
        expect(Buffer.from(protobufFrames.encodeDeliveries(stored) as Uint8Array)).toEqual(
          Buffer.from(toBinary(ServerFrameSchema, create(ServerFrameSchema, { frame }))),
        );
        expect(jsonFrames.encodeDeliveries(stored)).toEqual(jsonFrames.encode(frame));
      }),
    );
  });

  it("are what the generated code writes for events", () => {
    const value = create(EventSchema, { event: { case: "presence", value: { userId: "bob" } } });
    const data = toBinary(EventSchema, value);
    const frame = { case: "event", value } as const;
    expect(Buffer.from(protobufFrames.encodeEvent(data) as Uint8Array)).toEqual(
      Buffer.from(protobufFrames.encode(frame) as Uint8Array),
    );
    expect(jsonFrames.encodeEvent(data)).toEqual(jsonFrames.encode(frame));
  });
});
