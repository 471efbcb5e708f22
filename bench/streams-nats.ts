/**
 * Measures the streams on a NATS server that runs already, from one process:
 * `npm exec -- node --expose-gc bench/streams-nats.ts nats://127.0.0.1:4222`. CPU is this
 * process'. Makes streams of its own and removes them.
 */
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { systemClock } from "../mesh/clock.ts";
import { openNatsStreams } from "../mesh/streams-nats.ts";
import { dropNatsStreams } from "../mesh/streams-nats-under-test.ts";

const url = process.argv[2] ?? "nats://127.0.0.1:4222";
const appends = Number(process.argv[3] ?? 100_000);
const writers = 1_000;
const subscriptions = 20_000;
const catchUpEntries = 1_000;
const prefix = `bench-${process.pid}-`;
const data = Buffer.alloc(200, 7);

const streams = await openNatsStreams({
  urls: [url],
  prefix,
  replicas: 1,
  logShardBytesMax: 128 << 20,
  clock: systemClock,
});
const { log, inbox } = streams;

await measure("appends, each expects the one before it", appends, async () => {
  await writeAll(async (subject, expectedLastSequence) =>
    log.append(subject, data, { expectedLastSequence }),
  );
});

const connection = await connect({ servers: url });
const library = jetstream(connection);
await measure("the same through the library's publish", appends, async () => {
  await writeAll(async (subject, lastSubjectSequence) => {
    const shard = Number(subject.slice(1)) % 8;
    const expect = { lastSubjectSequence };
    return (await library.publish(`${prefix}log.${shard}.lib-${subject}`, data, { expect })).seq;
  });
});
await connection.close();

const users = Array.from({ length: subscriptions }, (_, i) => `user-${i}`);
let heard = 0;
const onMessage = () => void heard++;
const heapBefore = heapBytes();
for (const user of users) await streams.subscribeInbox(user, onMessage);
console.log(`a subscription: ${Math.round((heapBytes() - heapBefore) / subscriptions)} B of heap`);

await measure("inbox appends, republished and heard", appends, async () => {
  let next = 0;
  const write = async () => {
    while (next < appends) await inbox.append(users[next++ % subscriptions]!, data);
  };
  await Promise.all(Array.from({ length: writers }, write));
  while (heard < appends) await new Promise((resolve) => setTimeout(resolve, 5));
});

let worked = 0;
await measure("a worker's entries", appends, async () => {
  const options = { name: "bench", batchMax: 256, onError: console.error };
  const worker = inbox.work(options, async (entries) => {
    worked += entries.length;
  });
  while (worked < appends) await new Promise((resolve) => setTimeout(resolve, 5));
  await worker.stop();
});

for (let i = 0; i < catchUpEntries; i++) await inbox.append("returning", data);
await measure("reads of 1,000 entries of an inbox", 20, async () => {
  for (let i = 0; i < 20; i++) await inbox.read("returning");
});
await measure("last sequences of 1,024 inboxes", 20, async () => {
  for (let i = 0; i < 20; i++) await inbox.lastSequences(users.slice(0, 1_024));
});

await streams.close();
await dropNatsStreams(url, prefix);

/** Each writer has a subject and one append under way. */
async function writeAll(append: (subject: string, last: number) => Promise<number>) {
  let left = appends;
  const write = async (_: unknown, i: number) => {
    for (let last = 0; left-- > 0; ) last = await append(`c${i}`, last);
  };
  await Promise.all(Array.from({ length: writers }, write));
}

async function measure(what: string, count: number, run: () => Promise<void>): Promise<void> {
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  await run();
  const { user, system } = process.cpuUsage(cpu);
  const perSecond = Math.round((count / (performance.now() - startMs)) * 1_000);
  console.log(`${what}: ${perSecond}/s, ${((user + system) / count).toFixed(1)} µs CPU each`);
}

function heapBytes(): number {
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + external + arrayBuffers;
}
