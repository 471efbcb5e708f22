import { create } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import { DeliveryMode } from "../gen/parley/message/v1/message_pb.js";
import {
  type ChannelUpdate,
  ChannelUpdateSchema,
  ChannelUpdateState as State,
} from "../gen/parley/message/v1/sync_pb.js";
import { ChannelFeeds, type ChannelSubscription, followedChannelsMax } from "./channel-feeds.ts";
import { ManualClock } from "./clock-manual.ts";
import { LogFeeds } from "./log-feed.ts";
import { openMemoryStreams } from "./streams-memory.ts";

/** A question to Message that waits for its answer. */
interface Question {
  userId: string;
  channelIds: string[];
  answer(): void;
}

describe("[R1] what devices ask about LIVE channels", () => {
  const questions: Question[] = [];
  /** What each device was told: "ann g-1 CURRENT". */
  const told: string[] = [];
  /** Channels whose logs can't be subscribed to. */
  const away = new Set<string>();
  let subscriptions: number;
  let feeds: ChannelFeeds;
  beforeEach(() => {
    questions.length = told.length = subscriptions = 0;
    away.clear();
    const clock = new ManualClock();
    const streams = openMemoryStreams({ clock });
    const subscribe = streams.subscribeLog.bind(streams);
    streams.subscribeLog = (channelId, onMessage) => {
      subscriptions++;
      return away.has(channelId) ? new Promise(() => {}) : subscribe(channelId, onMessage);
    };
    feeds = new ChannelFeeds({
      logs: new LogFeeds({ streams, clock }),
      sync: ({ userId }, positions) => {
        const channelIds = positions.map(({ channelId }) => channelId);
        return new Promise((resolve) => {
          const answer = () => resolve(channelIds.map(current));
          questions.push({ userId, channelIds, answer });
        });
      },
      clock,
    });
  });

  const device = (userId: string): ChannelSubscription =>
    feeds.subscribe(
      { userId, deviceId: userId },
      {
        update(updates) {
          for (const { channelId, state } of updates) {
            told.push(`${userId} ${channelId} ${State[state]}`);
          }
        },
        deliverChannel: () => true,
      },
    );
  const at = (...channelIds: string[]) =>
    channelIds.map((channelId) => ({ channelId, channelSequence: 0 }));

  it("is one question at a time for each, however often a device asks", async () => {
    const eve = device("eve");
    for (let i = 0; i < 100; i++) {
      eve.follow(at("g-1", "g-2"));
      await settle();
    }
    device("ann").follow(at("g-1"));
    await settle();
    expect(questions.map(({ userId }) => userId)).toEqual(["eve", "ann"]);
    for (const { answer } of questions.splice(0)) answer();
    await settle();
    // The positions have changed since; the last ones count.
    expect(questions).toMatchObject([{ userId: "eve", channelIds: ["g-1", "g-2"] }]);
    questions[0]!.answer();
    await settle();
    expect(told).toEqual(["ann g-1 CURRENT", "eve g-1 CURRENT", "eve g-2 CURRENT"]);
    expect(questions).toHaveLength(1);
  });

  it("is not asked any more when the device has gone while it waited", async () => {
    for (let i = 0; i < 64; i++) device(`other${i}`).follow(at("g-1"));
    const ann = device("ann");
    ann.follow(at("g-1"));
    await settle();
    expect(questions).toHaveLength(64);
    ann.stop();
    for (const { answer } of questions) answer();
    await settle();
    expect(questions).toHaveLength(64);
  });

  it("subscribes to a log once, though a device begins anew", async () => {
    const ann = device("ann");
    for (let i = 0; i < 10; i++) ann.follow(at("g-1"));
    await settle();
    expect(subscriptions).toBe(1);
  });

  it("[R2] is asked of the channels that can be followed, though another's log is away", async () => {
    away.add("g-2");
    device("ann").follow(at("g-1", "g-2", "g-3"));
    await settle();
    expect(questions).toMatchObject([{ channelIds: ["g-1", "g-3"] }]);
  });

  it("is answered UNAVAILABLE past what a device may follow", async () => {
    const ann = device("ann");
    ann.follow(at(...Array.from({ length: followedChannelsMax }, (_, i) => `g-${i}`)));
    ann.follow(at("g-0", "g-more"));
    expect(told).toEqual(["ann g-more UNAVAILABLE"]);
  });
});

function current(channelId: string): ChannelUpdate {
  const whole = { state: State.CURRENT, mode: DeliveryMode.LIVE, member: true };
  return create(ChannelUpdateSchema, { channelId, ...whole });
}

async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}
