import { describe, expect, it } from "vitest";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { silentLogger } from "../../../mesh/logger.ts";
import { inboxSubject } from "../../../mesh/streams.ts";
import { MessageFixture, retentionMs } from "../message-fixture.ts";
import { startMessageWorkers } from "../message-service.ts";

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
});
