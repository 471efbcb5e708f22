import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Message, MessageSchema } from "../../../gen/parley/message/v1/message_pb.js";
import { RecentSends } from "./recent-sends.ts";

/** Number `n`, with a client id of this time. */
function message(n: number, timeMs: number): Message {
  const time = timeMs.toString(16).padStart(12, "0");
  return create(MessageSchema, {
    messageId: BigInt(n),
    channelSequence: n,
    senderId: "ann",
    clientMessageId: `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${n.toString(16).padStart(12, "0")}`,
    body: { case: "text", value: `${n}` },
  });
}

describe("the sends that a channel remembers", () => {
  it("[M5] holds the latest 256", () => {
    const recent = new RecentSends(0);
    const sent = Array.from({ length: 300 }, (_, n) => message(n + 1, 1_000 + n));
    for (const each of sent) recent.add({ case: "message", value: each });
    expect(sent.filter((each) => recent.find("ann", each.clientMessageId))).toEqual(sent.slice(44));
    expect(recent.find("ben", sent[299]!.clientMessageId)).toBeUndefined();
  });

  it("[M5] never claims that something was not sent which it has forgotten", () => {
    const times = fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: 1, maxLength: 600 });
    fc.assert(
      fc.property(times, (clientTimes) => {
        const recent = new RecentSends(0);
        const sent = clientTimes.map((timeMs, n) => message(n + 1, timeMs));
        for (const each of sent) recent.add({ case: "message", value: each });
        sent.forEach((each, n) => {
          if (recent.find("ann", each.clientMessageId)) return;
          expect(recent.isConclusive(clientTimes[n]!)).toBe(false);
        });
      }),
      { numRuns: 50 },
    );
  });

  it("[M5] can't tell of ids from before it began", () => {
    const recent = new RecentSends(5_000);
    expect(recent.isConclusive(5_000)).toBe(false);
    expect(recent.isConclusive(5_001)).toBe(true);
  });
});
