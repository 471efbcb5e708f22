import { create, toBinary } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import { LogEntrySchema } from "../gen/parley/log/v1/log_pb.js";
import type { ChannelBatch } from "./channel-batch.ts";
import { ChannelFeed, type ChannelFollower } from "./channel-feed.ts";
import { ManualClock } from "./clock-manual.ts";

const channelId = "g-live";

describe("[G3] a LIVE channel's feed", () => {
  let clock: ManualClock;
  let feed: ChannelFeed;
  beforeEach(() => {
    clock = new ManualClock();
    feed = new ChannelFeed(clock, (error) => expect.unreachable(`${error}`));
  });

  /** What is appended is heard. */
  async function hear(channelSequence: number): Promise<void> {
    const body = { case: "text" as const, value: `${channelSequence}` };
    const value = { channelId, messageId: BigInt(channelSequence), channelSequence, body };
    const items = [{ item: { case: "message" as const, value } }];
    const data = toBinary(LogEntrySchema, create(LogEntrySchema, { channelId, items }));
    feed.deliver({ sequence: channelSequence, prevSequence: channelSequence - 1, data });
    await new Promise((resolve) => setImmediate(resolve));
  }

  it("has what came a moment ago at hand for who comes, and lets go of it", async () => {
    for (const sequence of [4, 5]) await hear(sequence);
    const ann = new Recorder(4);
    expect(feed.admit(ann)).toBe(true);
    expect(ann.spans).toEqual(["4-5"]);
    clock.advance(20_000);
    expect(feed.covers(4)).toBe(false);
    expect(feed.admit(new Recorder(4))).toBe(false);
  });

  it("still knows how far it is when nothing is at hand, and goes on from there", async () => {
    await hear(4);
    clock.advance(20_000);
    expect(feed.covers(4)).toBe(true);
    const ann = new Recorder(4);
    expect(feed.admit(ann)).toBe(true);
    await hear(5);
    expect(ann.spans).toEqual(["4-5"]);
    expect(feed.covers(4)).toBe(true);
    clock.advance(10_000);
    expect(feed.covers(4)).toBe(true);
    clock.advance(10_000);
    expect(feed.covers(4)).toBe(false);
  });
});

/** Notes what it is given. */
class Recorder implements ChannelFollower {
  readonly userId = "ann";
  readonly minSequence = 0;
  position: number;
  readonly spans: string[] = [];

  constructor(position: number) {
    this.position = position;
  }

  deliver({ prevSequence, sequence }: ChannelBatch): boolean {
    this.spans.push(`${prevSequence}-${sequence}`);
    return true;
  }

  ended(): void {}

  lost(): void {
    expect.unreachable("nothing is lost");
  }
}
