import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { EdgeCommand, EdgeStart, MemoryUse } from "./edge-process.ts";

/** The edge's process, from outside. It ends with this one. */
export class EdgeChild {
  private readonly child: ChildProcess;
  /** Where it listens. */
  readonly url: string;

  /** Starts it with these V8 flags. */
  static async start(start: EdgeStart, v8Flags: readonly string[]): Promise<EdgeChild> {
    const script = join(import.meta.dirname, "edge-process.ts");
    const child = fork(script, [JSON.stringify(start)], { execArgv: [...v8Flags] });
    return new EdgeChild(child, String(await answer(child)));
  }

  private constructor(child: ChildProcess, url: string) {
    this.child = child;
    this.url = url;
  }

  /** Has it do something; one at a time. @throws where it ends instead. */
  async perform(command: EdgeCommand): Promise<unknown> {
    this.child.send(command);
    return answer(this.child);
  }

  async readMemory(): Promise<MemoryUse> {
    return (await this.perform({ do: "readMemory" })) as MemoryUse;
  }

  stop(): void {
    this.child.disconnect();
  }
}

async function answer(child: ChildProcess): Promise<unknown> {
  const ended = new AbortController();
  const onExit = (code: number | null) => ended.abort(new Error(`the edge ended with ${code}`));
  child.once("exit", onExit);
  try {
    const [message] = await once(child, "message", { signal: ended.signal });
    return (message as { result: unknown }).result;
  } finally {
    child.off("exit", onExit);
  }
}
