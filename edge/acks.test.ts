import { describe, expect, it } from "vitest";
import type { LinkCursor } from "../gen/parley/message/v1/message_service_pb.js";
import { ManualClock } from "../mesh/clock-manual.ts";
import { Acks } from "./acks.ts";

describe("Acks", () => {
  it("[S1] tells the latest of each device, all together, once an interval", () => {
    const told: LinkCursor[][] = [];
    const clock = new ManualClock();
    const acks = new Acks({ markDelivered: (cursors) => void told.push(cursors) }, clock, 3_000);
    const put = (deviceId: string, sequence: bigint) =>
      acks.put(
        { userId: "alice", deviceId },
        { inboxEpoch: "e", inboxSequence: sequence, curMaxMessageId: sequence * 10n },
      );
    put("phone", 1n);
    put("laptop", 2n);
    put("phone", 3n);
    clock.advance(2_999);
    expect(told).toEqual([]);
    clock.advance(1);
    const positions = told.map((some) =>
      some.map(({ deviceId, cursor }) => [deviceId, cursor?.inboxSequence]),
    );
    expect(positions).toEqual([
      [
        ["phone", 3n],
        ["laptop", 2n],
      ],
    ]);
    clock.advance(10_000);
    expect(told).toHaveLength(1);
    put("phone", 4n);
    acks.flush();
    expect(told[1]?.[0]).toMatchObject({ deviceId: "phone", cursor: { curMaxMessageId: 40n } });
  });
});
