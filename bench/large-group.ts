/**
 * What a message costs in a group of 100,000, beside one of 1,000: on a cluster all of it (see
 * large-group-cluster.ts), else the writer, persist, fan-out and an edge's feed in one process over
 * LMDB. There members are added as AddMembers does it; devices are followers without sockets, whose
 * frame is encoded as an edge encodes it. What a socket costs for each device that gets a message,
 * the scenario `group` shows.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { protobufFrames } from "../edge/frames-protobuf.ts";
import { DeliveryMode } from "../gen/parley/message/v1/message_pb.js";
import { ChannelUpdateSchema, ChannelUpdateState } from "../gen/parley/message/v1/sync_pb.js";
import { ChannelFeeds, type ChannelSubscriber } from "../mesh/channel-feeds.ts";
import { systemClock as clock } from "../mesh/clock.ts";
import { firstMessageIdAt } from "../mesh/ids.ts";
import { LogFeeds } from "../mesh/log-feed.ts";
import { silentLogger as logger } from "../mesh/logger.ts";
import { logSubject } from "../mesh/streams.ts";
import { openLmdbStreams } from "../mesh/streams-lmdb.ts";
import { Blocks } from "../services/message/channel/blocks.ts";
import {
  createGroup,
  type Decide,
  groupChannelId,
  sendText,
} from "../services/message/channel/changes.ts";
import { Channels } from "../services/message/channel/channels.ts";
import { Usernames } from "../services/message/channel/usernames.ts";
import { addMembers } from "../services/message/groups/member-changes.ts";
import { openLmdbMessageStore } from "../services/message/store/message-store-lmdb.ts";
import { fanOutWorker, startFanOut } from "../services/message/workers/fan-out.ts";
import { persistWorker, startPersist } from "../services/message/workers/persist.ts";
import { largeGroupOnCluster } from "./large-group-cluster.ts";
import { times } from "./load-users.ts";
import type { Figure, ScenarioOptions, ScenarioResult } from "./scenario.ts";

const owner = "owner";
/** Users that one call may add. */
const addedMax = 99;
const sendersCount = 50;
const sendsAtOnce = 256;
const settings = {
  ...{ public: true, historyBeforeJoining: true },
  ...{ membersMayAdd: false, membersMayRename: false },
};

/** One group after the other, in one process. */
export async function largeGroup({ quick, backend }: ScenarioOptions): Promise<ScenarioResult> {
  if (backend === "cluster") return largeGroupOnCluster(quick);
  const sizes = quick ? [200, 2_000] : [1_000, 100_000];
  const devices = quick ? 500 : 10_000;
  const messages = quick ? 500 : 10_000;
  const folder = mkdtempSync(join(tmpdir(), "parley-bench-"));
  const parts = await openParts(folder);
  try {
    const figures: Figure[] = [];
    for (const size of sizes) figures.push(...(await parts.measure(size, devices, messages)));
    return { figures, notes: [] };
  } finally {
    await parts.close();
    rmSync(folder, { recursive: true });
  }
}

/** The parts of one process. */
async function openParts(folder: string) {
  const streams = await openLmdbStreams({ path: join(folder, "streams"), clock });
  const store = await openLmdbMessageStore({ path: join(folder, "store"), clock });
  const { log, inbox, deadLetters } = streams;
  let lastId = 0n;
  const takeIds = (count: number, greaterThan: bigint) => {
    for (const least of [greaterThan, firstMessageIdAt(clock.nowMs())]) {
      if (lastId < least) lastId = least;
    }
    return Array.from({ length: count }, () => ++lastId);
  };
  const usernames = new Usernames(async () => [], clock);
  const blocks = new Blocks(async () => new Map(), clock);
  const channels = new Channels({ log, store, clock, usernames, blocks, takeIds });
  const publishLog = streams.publishLog.bind(streams);
  const work = { log, inbox, deadLetters, store, clock, logger, publishLog };
  const workers = [startPersist(work), startFanOut(work)];
  const feeds = new ChannelFeeds({
    logs: new LogFeeds({ streams, clock }),
    async sync(_identity, positions) {
      return Promise.all(
        positions.map(async ({ channelId }) => {
          const { channel } = (await channels.read(channelId)).state!;
          const live = { state: ChannelUpdateState.CURRENT, mode: DeliveryMode.LIVE, member: true };
          const { lastChannelSequence: channelSequence } = channel;
          return create(ChannelUpdateSchema, { channelId, channelSequence, ...live });
        }),
      );
    },
    clock,
  });
  return { measure, close };

  async function close(): Promise<void> {
    feeds.close();
    await Promise.all(workers.map((worker) => worker.stop()));
    await streams.close();
    await store.close();
  }

  function change(channelId: string, senderId: string, decide: Decide) {
    return channels.change(channelId, {
      ...{ senderId, clientMessageId: "", clientTimeMs: 0, replyToMessageId: 0n, traceParent: "" },
      ...{ bytes: 300, deadlineMs: Number.MAX_SAFE_INTEGER, decide },
    });
  }

  async function createMembers(size: number): Promise<string> {
    const channelId = groupChannelId(owner, String(size));
    const name = `${size} members`;
    await change(
      channelId,
      owner,
      createGroup(channelId, owner, name, settings, [], clock.nowMs()),
    );
    const users = Array.from({ length: size - 1 }, (_, i) => `u${i}`);
    await times(Math.ceil(users.length / addedMax), (i) => {
      const added = users.slice(i * addedMax, (i + 1) * addedMax);
      return change(channelId, owner, addMembers(channelId, owner, added));
    });
    await done(channelId);
    return channelId;
  }

  /** Resolves when both workers have done all that is in the log. */
  async function done(channelId: string): Promise<void> {
    const subject = logSubject(channelId);
    const last = (await log.last(subject))!.sequence;
    for (const worker of [persistWorker, fanOutWorker]) {
      while ((await log.checkpoint(worker, subject)) < last) await sleep(20);
    }
  }

  async function measure(size: number, devices: number, messages: number): Promise<Figure[]> {
    const started = performance.now();
    const channelId = await createMembers(size);
    const addingMs = performance.now() - started;
    const followers = Array.from({ length: Math.min(size, devices) }, () => new Device());
    const subscriptions = followers.map((device, i) =>
      feeds.subscribe({ userId: `u${i}`, deviceId: `d${i}` }, device),
    );
    for (const each of subscriptions) each.follow([{ channelId, channelSequence: 0 }]);
    while (followers.some(({ position }) => position === 0)) await sleep(20);

    const cpuBefore = process.cpuUsage();
    const before = performance.now();
    let end = 0;
    await times(
      messages,
      async (i) => {
        const senderId = `u${i % sendersCount}`;
        const text = `message ${i} of a lively large group`;
        const { placement } = await change(
          channelId,
          senderId,
          sendText(channelId, senderId, text, 0n),
        );
        end = Math.max(end, placement!.channelSequence);
      },
      sendsAtOnce,
    );
    await done(channelId);
    while (followers.some(({ position }) => position < end)) await sleep(5);
    const seconds = (performance.now() - before) / 1_000;
    const { user, system } = process.cpuUsage(cpuBefore);
    for (const each of subscriptions) each.stop();

    const of = `${size.toLocaleString("en")} members`;
    return [
      { name: `${of}: adding them`, value: addingMs, unit: "ms" },
      { name: `${of}: messages`, value: messages / seconds, unit: "messages/s" },
      { name: `${of}: CPU of all parts`, value: (user + system) / messages, unit: "µs/message" },
      { name: `${of}: devices that follow`, value: followers.length, unit: "devices" },
    ];
  }
}

/** A device as the edge's feed sees it: it takes the frame that all share. */
class Device implements ChannelSubscriber {
  position = 0;
  bytes = 0;

  update([update]: { channelSequence: number }[]): void {
    this.position = update!.channelSequence;
  }

  deliverChannel(batch: Parameters<ChannelSubscriber["deliverChannel"]>[0]): boolean {
    this.position = batch.sequence;
    this.bytes += batch.encode(protobufFrames).length;
    return true;
  }
}
