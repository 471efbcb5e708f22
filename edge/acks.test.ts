import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ChannelDeliveredSchema } from "../gen/parley/message/v1/cursor_pb.js";
import type { LinkCursor, LinkDelivered } from "../gen/parley/message/v1/message_service_pb.js";
import { ManualClock } from "../mesh/clock-manual.ts";
import { Acks, deliveredIntervalMs, deliveredPerUserMax } from "./acks.ts";

describe("Acks", () => {
  it("[S1] tells the latest of each device, all together, once an interval", () => {
    const told: LinkCursor[][] = [];
    const clock = new ManualClock();
    const links = {
      markDelivered: (cursors: LinkCursor[]) => void told.push(cursors),
      markChannels() {},
    };
    const acks = new Acks(links, clock, 3_000);
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

  it("[M8] tells the furthest of a user's devices in each channel, sooner", () => {
    const told: LinkDelivered[][] = [];
    const clock = new ManualClock();
    const links = {
      markDelivered() {},
      markChannels: (all: LinkDelivered[]) => void told.push(all),
    };
    const acks = new Acks(links, clock, 3_000);
    const put = (deviceId: string, channelId: string, messageId: bigint) =>
      acks.put(
        { userId: "alice", deviceId },
        { inboxEpoch: "e", inboxSequence: 1n, curMaxMessageId: messageId },
        [create(ChannelDeliveredSchema, { channelId, messageId })],
      );
    put("phone", "g-1", 5n);
    put("laptop", "g-1", 7n);
    put("phone", "g-1", 6n);
    put("phone", "g-2", 6n);
    clock.advance(deliveredIntervalMs);
    expect(told).toMatchObject([
      [
        { userId: "alice", channel: { channelId: "g-1", messageId: 7n } },
        { userId: "alice", channel: { channelId: "g-2", messageId: 6n } },
      ],
    ]);
  });

  it("[R1] keeps so many channels of a user, and so room for the others'", () => {
    const told: LinkDelivered[][] = [];
    const clock = new ManualClock();
    const links = {
      markDelivered() {},
      markChannels: (all: LinkDelivered[]) => void told.push(all),
    };
    const acks = new Acks(links, clock, 3_000);
    const put = (userId: string, channelIds: string[], messageId: bigint) =>
      acks.put(
        { userId, deviceId: userId },
        { inboxEpoch: "e", inboxSequence: 1n, curMaxMessageId: 1n },
        channelIds.map((channelId) => create(ChannelDeliveredSchema, { channelId, messageId })),
      );
    for (let i = 0; i < 1_000; i++) {
      const channelIds = Array.from({ length: 100 }, (_, j) => `g-${i * 100 + j}`);
      put("eve", channelIds, 1n);
    }
    put("eve", ["g-0"], 2n);
    put("ann", ["g-0"], 1n);
    clock.advance(deliveredIntervalMs);
    const [all] = told;
    const of = (id: string) => all!.filter(({ userId }) => userId === id);
    expect(of("eve")).toHaveLength(deliveredPerUserMax);
    expect(of("eve")[0]).toMatchObject({ channel: { channelId: "g-0", messageId: 2n } });
    expect(of("ann")).toHaveLength(1);
  });
});
