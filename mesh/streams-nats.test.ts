import { inject } from "vitest";
import { streamsContract } from "./streams.contract.ts";
import { openNatsStreams } from "./streams-nats.ts";
import { dropNatsStreams, natsTestOptions, pass } from "./streams-nats-under-test.ts";

streamsContract("NATS JetStream", async (retention) => {
  const { natsUrl } = inject("servers");
  const options = { ...natsTestOptions(natsUrl), retention };
  return {
    open: () => openNatsStreams(options),
    pass,
    dispose: () => dropNatsStreams(natsUrl, options.prefix),
  };
});
