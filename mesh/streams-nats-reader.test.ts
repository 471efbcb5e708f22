/** How workers read a shard of NATS. */
import { afterEach, expect, inject, it } from "vitest";
import { type Logger, silentLogger } from "./logger.ts";
import { type NatsStreams, openNatsStreams } from "./streams-nats.ts";
import { dropNatsStreams, natsTestOptions, until } from "./streams-nats-under-test.ts";
import { bytes, text } from "./streams-under-test.ts";

const { natsUrl } = inject("servers");
const options = natsTestOptions(natsUrl);
let streams: NatsStreams;
afterEach(async () => {
  await streams.close();
  await dropNatsStreams(natsUrl, options.prefix);
});

it("[M6] a worker is given more than it asks for at a time without beginning anew", async () => {
  const restarts: unknown[] = [];
  const info: Logger["info"] = (fields) => {
    if (fields.event === "nats_reader_restarts") restarts.push(fields.why);
  };
  streams = await openNatsStreams({ ...options, log: { ...silentLogger, info } });
  const given: string[] = [];
  const batchMax = 4;
  const work = streams.log.work(
    { name: "w", batchMax, onError: (error) => expect.unreachable(String(error)) },
    async (entries) => void given.push(...entries.map(text)),
  );
  // Every request is used up, by entries that come one by one and by more than one holds.
  const sent: string[] = [];
  for (let i = 0; i < 5 * batchMax; i++) {
    sent.push(`${i}`);
    await streams.log.append("a", bytes(`${i}`));
    await until(() => given.length === sent.length);
  }
  const more = Array.from({ length: 5 * batchMax }, (_, i) => `more ${i}`);
  await Promise.all(more.map((data) => streams.log.append("b", bytes(data))));
  await until(() => given.length === sent.length + more.length);
  await work.stop();
  expect(given).toEqual([...sent, ...more]);
  expect(restarts).toEqual([]);
});
