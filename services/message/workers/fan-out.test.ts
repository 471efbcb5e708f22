import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DescMethodUnary, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it, vi } from "vitest";
import { InboxEntrySchema } from "../../../gen/parley/log/v1/log_pb.js";
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

  it.each(["direct", "group"])(
    "[S4] an inbox of a %s channel is bounded: entries of 64 KB, long texts by reference",
    async (kind) => {
      const fixture = new MessageFixture();
      const { streams, index, writing } = fixture;
      const config = { logRetentionMs: retentionMs, trimIntervalMs: 60_000 };
      const { sendMessage, createDirectChannel, createGroup, editMessage } = MessageService.method;
      const instance = fixture.instance();
      const ann = <M extends DescMethodUnary>(method: M, request: MessageInitShape<M["input"]>) =>
        instance.call("ann", method, { clientMessageId: fixture.clientId(), ...request });
      const { channel } =
        kind === "direct"
          ? await ann(createDirectChannel, { userId: "ben" })
          : await ann(createGroup, { name: "group", userIds: ["ben", "cem"] });
      const { channelId } = channel!;
      const inline = "\u6f22".repeat(16_384);
      const texts = [
        `${inline}+`,
        ...Array<string>(12).fill(inline),
        ...Array<string>(300).fill("x".repeat(1_000)),
      ];
      const sent = await Promise.all(texts.map((text) => ann(sendMessage, { channelId, text })));
      await ann(editMessage, { channelId, messageId: sent[1]!.messageId, text: `${inline}!` });

      // All of it in one batch.
      const workers = startMessageWorkers(
        { ...writing, streams, index, logger: silentLogger },
        config,
      );
      await fixture.pass(1_000);
      await workers.stop();
      const { entries } = await streams.inbox.read(inboxSubject("ben"), { bytesMax: 1 << 24 });
      for (const { data } of entries) expect(data.length).toBeLessThanOrEqual(64 * 1024);
      const items = entries.flatMap(({ data }) => fromBinary(InboxEntrySchema, data).items);
      const told = items.flatMap(({ item }) => (item.case === "message" ? [item.value] : []));
      const texted = told.filter(({ body, bodyOmitted }) => body.case === "text" || bodyOmitted);
      expect(texted.map(({ messageId }) => messageId)).toEqual(
        sent.map(({ messageId }) => messageId),
      );
      const whole = texted.map(({ body }) => body.value ?? "omitted");
      expect(whole).toEqual(["omitted", ...texts.slice(1)]);
      const [edit] = items.flatMap(({ item }) => (item.case === "revision" ? [item.value] : []));
      expect(edit!.change.case).toBeUndefined();
    },
  );

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
