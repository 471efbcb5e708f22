/** The server under load: `parley run` as a child, with what the benches look at from outside. */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { type ParleyProcess, startParley } from "../tests/parley-process.ts";
import { closeClients } from "./load-client.ts";

/** A running server. */
export interface LoadServer {
  readonly url: string;
  /** The process that serves, not npm's. */
  readonly pid: number;
  /** Its log. */
  readonly log: readonly string[];
  /** Closes all clients of this process, ends the server and removes its data. */
  stop(): Promise<void>;
}

/** Starts a server in a new folder. It ends with this process at the latest. */
export async function startServer(): Promise<LoadServer> {
  // SIGUSR1 opens the inspector (cpu-profile.ts); then on any free port.
  const parley = await startParley({ environment: { NODE_OPTIONS: "--inspect-port=0" } });
  const onExit = () => endAtOnce(parley);
  process.once("exit", onExit);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
  return {
    url: parley.url,
    pid: servingPid(parley.pid),
    log: parley.log,
    async stop() {
      await closeClients();
      await parley.stop();
      process.off("exit", onExit);
    },
  };
}

function endAtOnce(parley: ParleyProcess): void {
  try {
    process.kill(-parley.pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
  rmSync(parley.dataDir, { recursive: true, force: true });
}

/** The process of npm's group that runs parley.ts itself. */
function servingPid(group: number): number {
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const [program = "", ...args] = read(`/proc/${entry}/cmdline`).split("\0");
    if (!program.endsWith("node") || !args.includes("parley.ts")) continue;
    // Field 5 of proc(5)'s stat, counted from the end of the name, which is field 2.
    const stat = read(`/proc/${entry}/stat`);
    if (Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[2]) === group) return Number(entry);
  }
  throw new Error("the server's process was not found");
}

/** Processes come and go while one looks. */
function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
