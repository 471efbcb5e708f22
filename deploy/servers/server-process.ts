/** A server's process: started with a log of its own, and ended by its pid. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { within } from "../../mesh/lifecycle.ts";
import { parentBound } from "../parent-bound.ts";

/** How a server is started. */
export interface ServerOptions {
  /** "nats": names the log. */
  name: string;
  command: string;
  args: readonly string[];
  /** Its data and its log. Made if missing. */
  folder: string;
  /** Run as this user, if this process is root. */
  user?: string;
  environment?: Readonly<Record<string, string>>;
  /** Asked until it says true. */
  isReady(): Promise<boolean>;
  readyMsMax: number;
  /** What ends it in an orderly way. Default: SIGTERM. */
  stopSignal?: NodeJS.Signals;
}

/** A running server. */
export interface ServerProcess {
  readonly pid: number;
  /** Ends it in an orderly way, or after 20 s by force. Never rejects. */
  stop(): Promise<void>;
  /** A signal: SIGKILL, SIGSTOP, SIGCONT. After SIGKILL resolves when it is gone. */
  signal(name: NodeJS.Signals): Promise<void>;
}

const stopMsMax = 20_000;
const pollMs = 50;
/** Characters of the log that an error shows. */
const logShownMax = 2_000;

/** Starts a server and resolves when it is ready. @throws with the end of its log. */
export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const { name, folder, isReady, readyMsMax, stopSignal = "SIGTERM" } = options;
  mkdirSync(folder, { recursive: true });
  const logPath = join(folder, `${name}.log`);
  const log = openSync(logPath, "a");
  const [command, ...args] = parentBound([options.command, ...options.args], options.user);
  const child = spawn(command!, args, {
    // Not what a Ctrl-C in the terminal reaches: servers end after those who use them.
    detached: true,
    cwd: folder,
    stdio: ["ignore", log, log],
    env: { ...process.env, ...options.environment },
  });
  closeSync(log);
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  await Promise.race([
    once(child, "spawn"),
    once(child, "error").then(([error]) => {
      throw error;
    }),
  ]);
  const shown = () => readFileSync(logPath, "utf8").slice(-logShownMax);
  const deadlineMs = Date.now() + readyMsMax;
  while (!(await isReady().catch(() => false))) {
    if (hasEnded(child)) throw new Error(`${name} ended with ${child.exitCode}:\n${shown()}`);
    if (Date.now() > deadlineMs) {
      child.kill("SIGKILL");
      throw new Error(`${name} was not ready in ${readyMsMax} ms:\n${shown()}`);
    }
    await sleep(pollMs);
  }
  return {
    pid: child.pid!,
    async stop() {
      if (hasEnded(child)) return;
      child.kill("SIGCONT");
      child.kill(stopSignal);
      await within(stopMsMax, exited);
      if (hasEnded(child)) return;
      child.kill("SIGKILL");
      await exited;
    },
    async signal(signal) {
      child.kill(signal);
      if (signal === "SIGKILL") await exited;
    },
  };
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
