import { setTimeout as sleep } from "node:timers/promises";
import type { Account, LoadSender } from "./load-channel.ts";
import type { LoadServer } from "./load-server.ts";
import { type CpuTimes, cpuTimes, cpuUsed } from "./process-cpu.ts";

/** How long what is under way may take to come back at the end. */
const settleMs = 60_000;

/** What a stretch of a run came to. */
export interface Measured {
  seconds: number;
  /** Differences of the account's counts. */
  counts: ReturnType<Account["counts"]>;
  /** CPU seconds by part, see {@link LoadServer.cpu}. */
  serverCpu: ReadonlyMap<string, number>;
  generatorCpu: ReadonlyMap<string, number>;
}

/** Keeps every sender at `window` incomplete sends until `stop`. */
export function startClosedLoop(senders: readonly LoadSender[], window: number): { stop(): void } {
  let running = true;
  for (const sender of senders) {
    sender.onCompleted = () => {
      if (running) sender.send();
    };
    for (let i = 0; i < window; i++) sender.send();
  }
  return {
    stop() {
      running = false;
    },
  };
}

/** Looks on for so long. */
export async function measure(
  server: LoadServer,
  account: Account,
  seconds: number,
): Promise<Measured> {
  const before = look(server, account);
  await sleep(seconds * 1_000);
  const after = look(server, account);
  const difference = (key: keyof Measured["counts"]) => after.counts[key] - before.counts[key];
  const serverCpu = cpuUsed(before.server, after.server);
  const generatorCpu = cpuUsed(before.generator, after.generator);
  return {
    seconds: (after.timeMs - before.timeMs) / 1_000,
    counts: {
      sent: difference("sent"),
      acknowledged: difference("acknowledged"),
      delivered: difference("delivered"),
      completed: difference("completed"),
      repeated: difference("repeated"),
    },
    serverCpu,
    generatorCpu,
  };
}

/** Resolves when all that was sent is complete. @throws where something never comes back. */
export async function settled(account: Account): Promise<void> {
  for (let waitedMs = 0; account.completed < account.sent; waitedMs += 20) {
    if (waitedMs > settleMs) throw new Error(`lost: ${JSON.stringify(account.counts())}`);
    await sleep(20);
  }
}

interface Look {
  timeMs: number;
  counts: Measured["counts"];
  server: CpuTimes;
  generator: CpuTimes;
}

function look(server: LoadServer, account: Account): Look {
  return {
    timeMs: performance.now(),
    counts: account.counts(),
    server: server.cpu(),
    generator: cpuTimes(process.pid),
  };
}
