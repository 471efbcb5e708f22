/** A whole Parley as a child process: what the tests across processes talk to. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { freePorts } from "../deploy/servers/ports.ts";

/** How one is started. */
export interface ParleyOptions {
  /** Default: a new folder, removed at the end. */
  dataDir?: string;
  /** Default: a free one. */
  port?: number;
  /** Further settings, `PARLEY_…`. */
  environment?: Readonly<Record<string, string>>;
}

/** A running Parley. */
export interface ParleyProcess {
  readonly url: string;
  readonly port: number;
  /** Where the services answer. */
  readonly grpcAddress: string;
  readonly metricsUrl: string;
  readonly dataDir: string;
  /** The process group: npm, and the server under it. */
  readonly pid: number;
  /** What it has printed on standard error: its log. */
  readonly log: readonly string[];
  /** The signal to the server alone, as a supervisor sends it; resolves with the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  /** SIGKILL; resolves when all of it is gone. The folder stays for the next start. */
  kill(): Promise<void>;
}

/** Settings that make a password cost little. */
export const cheapPasswords: Readonly<Record<string, string>> = {
  PARLEY_SESSION_PASSWORD_MEMORY_KIB: "8",
  PARLEY_SESSION_PASSWORD_PASSES: "1",
};

const root = join(import.meta.dirname, "..");
/** Lines of the log that are kept. */
const logMax = 5_000;
/** A start that takes longer hangs. */
const readyMsMax = 45_000;

/** Starts `parley run` and resolves when it is ready. @throws with its log where it ends before. */
export async function startParley(options: ParleyOptions = {}): Promise<ParleyProcess> {
  const isOwnFolder = options.dataDir === undefined;
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), "parley-"));
  const port = options.port ?? (await freePorts(1))[0]!;
  const child = spawn("npm", ["run", "--silent", "parley", "--", "run"], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    // Its own group: npm and the server under it are ended together.
    detached: true,
    env: {
      ...process.env,
      PARLEY_EDGE_PORT: String(port),
      PARLEY_DATA_DIR: dataDir,
      PARLEY_LOG_LEVEL: "info",
      ...cheapPasswords,
      ...options.environment,
    },
  });
  const log: string[] = [];
  const keep = (line: string) => {
    log.push(line);
    if (log.length > logMax) log.shift();
  };
  createInterface({ input: child.stderr! }).on("line", keep);
  let addresses: Map<string, string>;
  try {
    addresses = await ready(child, log);
  } catch (error) {
    if (isOwnFolder) rmSync(dataDir, { recursive: true, force: true });
    throw error;
  }
  let ended = false;
  // Not "exit": npm may be gone before the server under it, which holds the same pipes.
  const exited = once(child, "close").then(([code]) => {
    ended = true;
    return code as number | null;
  });
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    grpcAddress: addresses.get("gRPC")!,
    metricsUrl: addresses.get("metrics")!,
    dataDir,
    pid: child.pid!,
    log,
    async stop(signal = "SIGTERM") {
      if (!ended) process.kill(Number(readFileSync(join(dataDir, "lock-holder"), "utf8")), signal);
      const code = await exited;
      if (isOwnFolder) rmSync(dataDir, { recursive: true, force: true });
      return code;
    },
    async kill() {
      if (!ended) process.kill(-child.pid!, "SIGKILL");
      await exited;
    },
  };
}

/** Resolves with the addresses that it prints when it is ready. */
function ready(child: ChildProcess, log: readonly string[]): Promise<Map<string, string>> {
  return new Promise((resolve, reject) => {
    const addresses = new Map<string, string>();
    const timer = setTimeout(() => {
      process.kill(-child.pid!, "SIGKILL");
      reject(new Error(`parley run was not ready in ${readyMsMax} ms:\n${log.join("\n")}`));
    }, readyMsMax);
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const [, name, address] = /^ +(\w+) +(\S+)$/.exec(line) ?? [];
      if (name && address) addresses.set(name, address);
      if (name !== "metrics") return;
      clearTimeout(timer);
      resolve(addresses);
    });
    child.once("exit", (code) => {
      clearTimeout(timer);
      reject(new Error(`parley run ended with ${code} before it was ready:\n${log.join("\n")}`));
    });
  });
}
