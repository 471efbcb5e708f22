/** One of Parley's processes, started again whenever it ends by itself. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { within } from "../mesh/lifecycle.ts";
import { parentBound } from "./parent-bound.ts";
import { parleyFlags } from "./v8-flags.ts";

/** How it is run. */
export interface SupervisedOptions {
  /** A command of parley.ts: "edge". */
  role: string;
  environment: Readonly<Record<string, string | undefined>>;
  /** Each line of its standard error. */
  onLog(line: string): void;
}

const root = join(import.meta.dirname, "..");
const parley = [process.execPath, ...parleyFlags(), join(root, "parley.ts")];
const readyMsMax = 60_000;
/** The pause before it is started again, so that one that can't start does not take all CPU. */
const restartMs = 1_000;
/** Longer than an edge's drain. */
const stopMsMax = 60_000;

/** A process under supervision. */
export class Supervised implements AsyncDisposable {
  readonly role: string;
  /** How often it had to be started again. */
  restarts = 0;
  /** What it printed when it was ready: "http://127.0.0.1:8080". */
  address = "";
  private readonly options: SupervisedOptions;
  private child: ChildProcess | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isStopping = false;
  private waiting: { resolve(): void; reject(error: Error): void }[] = [];
  private lastLines: string[] = [];

  constructor(options: SupervisedOptions) {
    this.options = options;
    this.role = options.role;
    this.start();
  }

  /** Undefined between its end and the next start. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** Resolves when it is ready, at once if it is. @throws with its log where it ends before. */
  async ready(): Promise<void> {
    if (this.address !== "") return;
    const ready = new Promise<void>((resolve, reject) => this.waiting.push({ resolve, reject }));
    await within(readyMsMax, ready);
    if (this.address === "") throw this.notReady(`not ready in ${readyMsMax} ms`);
  }

  /** A signal to the process as it is now: SIGKILL, SIGSTOP, SIGCONT. */
  signal(name: NodeJS.Signals): void {
    this.child?.kill(name);
  }

  /** Drains and ends it for good. Never rejects. */
  async stop(): Promise<void> {
    this.isStopping = true;
    clearTimeout(this.timer);
    const { child } = this;
    if (!child) return;
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
    child.kill("SIGCONT");
    child.kill("SIGTERM");
    await within(stopMsMax, ended);
    if (this.child) child.kill("SIGKILL");
    await ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  private start(): void {
    const [command, ...args] = parentBound([...parley, this.role]);
    const child = spawn(command!, args, {
      cwd: root,
      // Its own group: a Ctrl-C in the terminal is for the supervisor, which drains in order.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: this.options.environment,
    });
    this.child = child;
    createInterface({ input: child.stderr }).on("line", (line) => {
      this.lastLines = [...this.lastLines.slice(-19), line];
      this.options.onLog(line);
    });
    createInterface({ input: child.stdout }).on("line", (line) => {
      const [, address] = /is ready: (\S+)/.exec(line) ?? [];
      if (!address) return;
      this.address = address;
      for (const { resolve } of this.waiting.splice(0)) resolve();
    });
    child.once("close", (code, signal) => this.ended(signal ?? String(code)));
  }

  private ended(how: string): void {
    const error = this.notReady(`ended with ${how}`);
    this.child = undefined;
    this.address = "";
    if (this.isStopping) return;
    for (const { reject } of this.waiting.splice(0)) reject(error);
    this.options.onLog(`${this.role} ended with ${how}, starting it again`);
    this.timer = setTimeout(() => {
      this.restarts++;
      this.start();
    }, restartMs);
  }

  private notReady(why: string): Error {
    return new Error(`parley ${this.role} ${why}:\n${this.lastLines.join("\n")}`);
  }
}
