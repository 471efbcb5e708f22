import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import type { Command } from "./toolchains.ts";

/** A consumer that runs as a process of its own, and all that it has printed. */
export class Program {
  output = "";
  errors = "";
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly exited: Promise<unknown>;

  constructor([program, ...before]: Command, ...args: string[]) {
    this.child = spawn(program, [...before, ...args]);
    this.exited = once(this.child, "close");
    this.child.stdout.on("data", (chunk) => {
      this.output += chunk;
    });
    this.child.stderr.on("data", (chunk) => {
      this.errors += chunk;
    });
    // Typed to after it has ended.
    this.child.stdin.on("error", () => {});
  }

  type(line: string): void {
    this.child.stdin.write(`${line}\n`);
  }

  /** Resolves when the text stands on its output or its errors. @throws where it ends before */
  async says(text: string, times = 1): Promise<void> {
    let ended = false;
    const end = this.exited.then(() => {
      ended = true;
    });
    const isSaid = () => `${this.output}\n${this.errors}`.split(text).length > times;
    while (!isSaid()) {
      if (ended) throw new Error(`ended without "${text}":\n${this.output}\n${this.errors}`);
      const more = [this.child.stdout, this.child.stderr].map((stream) => once(stream, "data"));
      await Promise.race([...more, end]);
    }
  }

  /** At once, as a crash ends it. */
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.exited;
  }
}
