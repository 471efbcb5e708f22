import { randomBytes } from "node:crypto";
import { inject } from "vitest";
import { systemClock } from "./clock.ts";
import { streamsContract } from "./streams.contract.ts";
import { openNatsStreams } from "./streams-nats.ts";
import { dropNatsStreams } from "./streams-nats-under-test.ts";

streamsContract("NATS JetStream", async (retention) => {
  const { natsUrl } = inject("servers");
  const prefix = `test-${randomBytes(6).toString("hex")}-`;
  return {
    open: () =>
      openNatsStreams({
        urls: natsUrl.split(","),
        prefix,
        // Orders and counts of the suite are those of one shard.
        shards: { log: 1, inbox: 1 },
        replicas: 1,
        logShardBytesMax: 64 << 20,
        retention,
        clock: systemClock,
      }),
    pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    dispose: () => dropNatsStreams(natsUrl, prefix),
  };
});
