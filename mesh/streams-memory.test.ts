import { ManualClock } from "./clock-manual.ts";
import { streamsContract } from "./streams.contract.ts";
import { MemoryStreamsServer } from "./streams-memory.ts";

streamsContract("memory", async (retention) => {
  const clock = new ManualClock();
  const server = new MemoryStreamsServer({ clock, retention });
  return {
    open: async () => server.connect(),
    async pass(ms) {
      clock.advance(ms);
      await new Promise((resolve) => setImmediate(resolve));
    },
    dispose: async () => {},
  };
});
