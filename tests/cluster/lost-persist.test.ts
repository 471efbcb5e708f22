/** What a log does that nobody carries on, when there is room for no more. */
import { setTimeout as sleep } from "node:timers/promises";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  errorReason,
  errorRetryAfterMs,
  MessageOrder,
  MessageService,
} from "../../edge/sdk/index.ts";
import { eventually, lostMsMax, OwnCluster, startMsMax } from "./own-cluster.ts";

vi.setConfig({ testTimeout: 2 * lostMsMax, hookTimeout: startMsMax });

const logShardBytesMax = 4 * 1024 ** 2;
/** The shortest. */
const retentionMs = 60_000;
/** Texts that are more than the log can hold. */
const textsMax = 60;
const text = (n: number) => `${n} ${"x".repeat(90_000)}`;

let own: OwnCluster;
beforeAll(async () => {
  own = await OwnCluster.start({
    instances: { idgen: 1, session: 1, presence: 1, message: 1, worker: 1 },
    environment: {
      PARLEY_STREAM_SHARDS: "1",
      PARLEY_LOG_SHARD_BYTES_MAX: String(logShardBytesMax),
      PARLEY_LOG_RETENTION_MS: String(retentionMs),
      PARLEY_LOG_TRIM_INTERVAL_MS: "1000",
    },
  });
});
afterAll(() => own?.stop());

describe("persist stopped for long", () => {
  it("[M6] [R2] [R3] nothing is trimmed, a full log refuses, and both end when it goes on", async () => {
    const { ann, ben, channelId } = await own.pair();
    const restart = await own.lose("cassandra");

    const http = ann.http(MessageService);
    const acknowledged: bigint[] = [];
    let refused: ConnectError | undefined;
    for (let n = 0; n < textsMax && !refused; n++) {
      const clientMessageId = ann.client.newClientMessageId();
      await http.sendMessage({ channelId, clientMessageId, text: text(n) }).then(
        ({ messageId }) => acknowledged.push(messageId),
        (error) => {
          refused = ConnectError.from(error);
        },
      );
    }
    expect(errorReason(refused)).toBe("LOG_FULL");
    expect(errorRetryAfterMs(refused)).toBeGreaterThan(0);
    expect(acknowledged.length).toBeGreaterThan(30);
    const queued = ann.client.send(channelId, text(textsMax)).result;
    // What was acknowledged is delivered all the same: fan-out does not wait for persist.
    const ids = () => ben.told(channelId).map(({ messageId }) => messageId);
    await ben.until(() => ids().includes(acknowledged.at(-1)!));

    // Past the retention, and trimmed every second, if anything could be.
    await sleep(retentionMs + 3_000);
    const streams = await own.streams({ logShardBytesMax, shards: 1 });
    const { entries } = await streams.log.read(channelId, { bytesMax: 2 * logShardBytesMax });
    // Its creation, "first", and what followed.
    expect(entries).toHaveLength(acknowledged.length + 2);

    await restart();
    const { messageId: last } = await queued;
    await ben.until(() => ids().includes(last));
    const store = await own.messageStore();
    await vi.waitFor(async () => {
      const row = await store.getChannel(channelId);
      expect(row?.channel.lastMessageId).toBe(last);
    }, eventually);
    const all = await store.listMessages({ channelId, newestFirst: false, limit: 1_000 });
    expect(all.slice(2).map(({ message }) => message.messageId)).toEqual([...acknowledged, last]);
    expect(all.map(({ message }) => message.channelSequence)).toEqual(all.map((_, i) => i + 1));
    const order = MessageOrder.NEWEST_FIRST;
    const page = await http.listMessages({ channelId, order, pageSize: 1 });
    expect(page).toMatchObject({ degraded: false, messages: [{ messageId: last }] });
    await Promise.all([ann.client.close(), ben.client.close()]);
  });
});
