/** What tests of NATS streams share. */
import { randomBytes } from "node:crypto";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { systemClock } from "./clock.ts";
import type { NatsStreamsOptions } from "./streams-nats.ts";

/** Options of streams that are the test's own; as little of the server's disk as will do. */
export function natsTestOptions(urls: string): NatsStreamsOptions & { prefix: string } {
  return {
    urls: urls.split(","),
    prefix: `test-${randomBytes(6).toString("hex")}-`,
    // Orders and counts of the contract's suite are those of one shard.
    shards: { log: 1, inbox: 1 },
    replicas: 1,
    logShardBytesMax: 64 << 20,
    clock: systemClock,
  };
}

/** Lets time pass on the machine's clock. */
export function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Resolves when the condition holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await pass(5);
}

/** Removes all JetStream streams of a prefix. */
export async function dropNatsStreams(urls: string, prefix: string): Promise<void> {
  const connection = await connect({ servers: urls.split(",") });
  const { streams } = await jetstreamManager(connection);
  for await (const name of streams.names()) {
    if (name.startsWith(prefix)) await streams.delete(name);
  }
  await connection.close();
}
