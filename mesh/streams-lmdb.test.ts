import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "./clock-manual.ts";
import { streamsContract } from "./streams.contract.ts";
import { openLmdbStreams } from "./streams-lmdb.ts";

streamsContract("LMDB", async (retention) => {
  const clock = new ManualClock();
  const path = await mkdtemp(join(tmpdir(), "parley-streams-"));
  return {
    open: () => openLmdbStreams({ path, clock, retention }),
    async pass(ms) {
      clock.advance(ms);
      await new Promise((resolve) => setImmediate(resolve));
    },
    dispose: () => rm(path, { recursive: true }),
  };
});
