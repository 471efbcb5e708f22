import { describe, expect, it, vi } from "vitest";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { type LogFields, silentLogger } from "../../../mesh/logger.ts";
import { Metrics } from "../../../mesh/metrics.ts";
import { SqlUnavailable } from "../../../mesh/sql.ts";
import { snapshotAgeMaxMsDefault } from "../channel/channel-writer.ts";
import { MessageFixture } from "../message-fixture.ts";
import { parseQuery } from "../search/search-query.ts";
import { startIndexing } from "./indexing.ts";
import { persistWorker, startPersist } from "./persist.ts";
import { rebuildAll, rebuildSearch } from "./rebuild.ts";

const { method } = MessageService;

async function setUp() {
  const fixture = new MessageFixture();
  const { clock, streams, store, index } = fixture;
  const instance = fixture.instance();
  const clientMessageId = () => fixture.clientId();
  const request = { clientMessageId: clientMessageId(), name: "group", userIds: ["ben"] };
  const { channelId } = (await instance.call("ann", method.createGroup, request)).channel!;
  const send = (text: string) =>
    instance.call("ann", method.sendMessage, {
      channelId,
      clientMessageId: clientMessageId(),
      text,
    });
  const logged: LogFields[] = [];
  const logger = { ...silentLogger, error: (fields: LogFields) => void logged.push(fields) };
  const metrics = new Metrics();
  const { log, deadLetters } = streams;
  const pass = async (seconds: number) => {
    for (let i = 0; i < seconds; i++) await fixture.pass(1_000);
  };
  const runIndex = async () => {
    const worker = startIndexing({ log, deadLetters, index, clock, logger, metrics });
    await pass(60);
    return worker;
  };
  const find = async (word: string) => {
    const query = { userId: "ben", phrases: parseQuery(word), byRank: false, limit: 100 };
    return (await index.find(query)).length;
  };
  const persist = async () => {
    const worker = startPersist({ log, deadLetters, store, clock, logger: silentLogger });
    await fixture.pass(1_000);
    await worker.stop();
  };
  /** As a log that is nearly full does: without waiting for the index. */
  const trim = async (olderThanMs: number) => {
    await persist();
    return log.trim({ workers: [persistWorker], olderThanMs });
  };
  const incomplete = () => logged.filter(({ event }) => event === "index_incomplete");
  return { fixture, send, persist, trim, runIndex, pass, find, incomplete, metrics };
}

describe("an index that the log did not wait for", () => {
  it("[R2] tells nothing of itself while it misses nothing", async () => {
    const { send, runIndex, find, incomplete } = await setUp();
    await send("word one");
    await (await runIndex()).stop();
    await send("word two");
    await (await runIndex()).stop();
    expect(await find("word")).toBe(2);
    expect(incomplete()).toEqual([]);
  });

  it("[R2] goes on with what the log still has, says once what it lacks, and gets it by a rebuild", async () => {
    const { fixture, send, persist, trim, runIndex, pass, find, incomplete, metrics } =
      await setUp();
    const { index, clock, store } = fixture;
    await send("word one");
    vi.spyOn(index, "apply").mockRejectedValue(new SqlUnavailable("away"));
    const worker = await runIndex();
    await send("word two");
    await pass(60);
    // Rests on a snapshot that goes.
    await send("word three");
    expect(await trim(30_000)).toBeGreaterThan(0);
    clock.advance(snapshotAgeMaxMsDefault);
    await send("word four");
    vi.mocked(index.apply).mockRestore();
    await pass(60);
    await worker.stop();
    expect(await Promise.all(["two", "three", "four"].map(find))).toEqual([0, 0, 1]);
    expect(incomplete()).toHaveLength(1);
    expect(await metrics.registry.metrics()).toContain("parley_index_lost_total 2");

    await persist();
    for await (const _ of rebuildAll(store, rebuildSearch(index)));
    expect(await find("word")).toBe(4);
  });
});
