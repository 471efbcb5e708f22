import { ManualClock } from "./clock-manual.ts";
import { Faults, seededRandom } from "./faults.ts";
import { streamsContract } from "./streams.contract.ts";
import type { Streams } from "./streams.ts";
import { type StreamFault, withFaults } from "./streams-faults.ts";
import { MemoryStreamsServer } from "./streams-memory.ts";

function contractFor(
  adapter: string,
  wrap: (streams: Streams, clock: ManualClock) => Streams,
): void {
  streamsContract(adapter, async (retention) => {
    const clock = new ManualClock();
    const server = new MemoryStreamsServer({ clock, retention });
    return {
      open: async () => wrap(server.connect(), clock),
      async pass(ms) {
        clock.advance(ms);
        await new Promise((resolve) => setImmediate(resolve));
      },
      dispose: async () => {},
    };
  });
}

contractFor("memory", (streams) => streams);

contractFor("memory, with faults that the port's callers are used to", (streams, clock) => {
  const chances = {
    ...{ readStale: 0.5, checkpointStale: 0.5, batchCut: 0.5 },
    ...{ liveDoubled: 0.5, liveDelayed: 0.5 },
  };
  const faults = new Faults<StreamFault>(seededRandom(1), chances);
  return withFaults(streams, { faults, clock });
});
