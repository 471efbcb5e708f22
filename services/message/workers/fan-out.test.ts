import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { silentLogger } from "../../../mesh/logger.ts";
import { inboxSubject } from "../../../mesh/streams.ts";
import { openLmdbStreams } from "../../../mesh/streams-lmdb.ts";
import { createGroup, type Decide, groupChannelId, sendText } from "../channel/changes.ts";
import { ChannelWriter } from "../channel/channel-writer.ts";
import { MessageFixture, retentionMs } from "../message-fixture.ts";
import { startMessageWorkers } from "../message-service.ts";
import { fanOutWorker, startFanOut } from "./fan-out.ts";

describe("fan-out", () => {
  it("[R2] announces memberships while the store is away, and logs that once, with its end", async () => {
    const fixture = new MessageFixture();
    const { streams, index, storeFaults, writing } = fixture;
    const events: string[] = [];
    const keep = ({ event }: { event: string }) => void events.push(event);
    const logger = { ...silentLogger, info: keep, warn: keep };
    const config = { logRetentionMs: retentionMs, trimIntervalMs: 60_000 };
    const workers = startMessageWorkers({ ...writing, streams, index, logger }, config);
    const pass = async (seconds: number) => {
      for (let i = 0; i < seconds; i++) await fixture.pass(1_000);
    };
    const instance = fixture.instance();
    const createGroup = async () => {
      const request = { clientMessageId: fixture.clientId(), name: "group", userIds: ["ben"] };
      await instance.call("ann", MessageService.method.createGroup, request);
      await pass(2);
    };
    storeFaults.chances = { writeLost: 1 };
    for (let i = 0; i < 3; i++) await createGroup();
    const { entries } = await streams.inbox.read(inboxSubject("ben"));
    expect(entries).toHaveLength(3);
    storeFaults.chances = {};
    await createGroup();
    await pass(60);
    await workers.stop();
    expect(events.filter((event) => event.startsWith("memberships_"))).toEqual([
      "memberships_not_announced",
      "memberships_announced_again",
    ]);
  });

  it("[G2] [R3] copies more to a group's members than the streams let wait", async () => {
    const path = mkdtempSync(join(tmpdir(), "parley-"));
    const fixture = new MessageFixture();
    const { clock, store, writing } = fixture;
    const streams = await openLmdbStreams({ path, clock });
    const { log, inbox, deadLetters } = streams;
    const channelId = groupChannelId("ann", "1");
    const writer = new ChannelWriter(channelId, { ...writing, log });
    const submit = (decide: Decide, bytes: number) =>
      new Promise((resolve, reject) => {
        writer.submit({
          ...{ senderId: "ann", clientMessageId: fixture.clientId(), traceParent: "" },
          ...{ clientTimeMs: clock.nowMs(), deadlineMs: clock.nowMs() + 60_000 },
          ...{ replyToMessageId: 0n, bytes, decide },
          done: (outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome)),
        });
      });
    const others = Array.from({ length: 99 }, (_, i) => `u${i}`);
    await submit(createGroup(channelId, "ann", "group", settings, others, clock.nowMs()), 4_000);
    // 40 texts of 48 KiB for 100 members: 190 MiB, where 64 may wait.
    const text = "\u6f22".repeat(16_384);
    const sends = Array.from({ length: 40 }, () => sendText(channelId, "ann", text, 0n));
    await Promise.all(sends.map((decide) => submit(decide, Buffer.byteLength(text))));
    const last = (await log.last(channelId))!.sequence;
    const publishLog = streams.publishLog.bind(streams);
    const running = startFanOut({
      ...{ log, inbox, deadLetters, publishLog },
      ...{ store, clock, logger: silentLogger },
    });
    const isDone = async () => expect(await log.checkpoint(fanOutWorker, channelId)).toBe(last);
    await vi.waitFor(isDone, { timeout: 15_000 });
    const held = await inbox.lastSequences([inboxSubject("ann"), inboxSubject("u98")]);
    expect(Math.min(...held)).toBeGreaterThan(0);
    await running.stop();
    await streams.close();
    rmSync(path, { recursive: true });
  });
});

const settings = {
  ...{ public: false, historyBeforeJoining: false },
  ...{ membersMayAdd: false, membersMayRename: false },
};
