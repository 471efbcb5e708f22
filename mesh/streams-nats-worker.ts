import { randomBytes } from "node:crypto";
import type { BatchHandler, Running, WorkOptions } from "./streams.ts";
import {
  acquireCheckpoint,
  type HeldCheckpoint,
  wantedSubject,
} from "./streams-nats-checkpoint.ts";
import { NatsReader } from "./streams-nats-reader.ts";
import type { NatsShard } from "./streams-nats-shard.ts";
import { EntryWorker } from "./streams-worker.ts";

/** Runs a worker in one shard whenever it has the lease of the worker's name there. */
export class NatsShardWorker implements Running {
  readonly name: string;
  private readonly shard: NatsShard;
  private readonly checkpoints: NatsShard;
  private readonly options: WorkOptions;
  private readonly handler: BatchHandler;
  private readonly stopping = new AbortController();
  private readonly stopped: Promise<void>;
  private readonly finished: Promise<void>;
  private held: HeldCheckpoint | undefined;

  constructor(
    shard: NatsShard,
    checkpoints: NatsShard,
    options: WorkOptions,
    handler: BatchHandler,
  ) {
    this.name = options.name;
    this.shard = shard;
    this.checkpoints = checkpoints;
    this.options = options;
    this.handler = handler;
    const { signal } = this.stopping;
    this.stopped = new Promise((resolve) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.finished = this.run();
  }

  /** Up to here it has done its work; undefined: it does not run here now. */
  get checkpoint(): number | undefined {
    return this.held?.sequence;
  }

  stop(): Promise<void> {
    this.stopping.abort();
    return this.finished;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    const owner = randomBytes(8).toString("hex");
    const { checkpoints, key } = this;
    const isOurs = () => this.isOurs();
    while (!signal.aborted) {
      this.held = await acquireCheckpoint(checkpoints, key, owner, isOurs, signal);
      if (this.held) await this.work(this.held);
      this.held = undefined;
    }
  }

  private get key(): string {
    return checkpointKey(this.shard, this.name);
  }

  private isOurs(): boolean {
    // By both: by the shard alone, one process of three would often have none of eight.
    return this.options.isOurs?.(this.key) ?? true;
  }

  /** Works until it is stopped, the lease is lost, or one asks for it whose it should be. */
  private async work(held: HeldCheckpoint): Promise<void> {
    const { link } = this.shard;
    const reader = new NatsReader(this.shard, held.sequence, this.options.batchMax);
    const source = {
      checkpointOf: () => held.sequence,
      moveCheckpoint: (_name: string, sequence: number) => held.move(sequence),
      entriesAfter: async (_sequence: number, entriesMax: number) => {
        const entries = await reader.take(entriesMax);
        return (await held.isHeld()) ? entries : [];
      },
    };
    const worker = new EntryWorker(link.clock, source, this.options, this.handler);
    const wanted = Promise.withResolvers<void>();
    const asked = link.connection.subscribe(wantedSubject(this.checkpoints, this.key), {
      callback: () => {
        if (!this.isOurs()) wanted.resolve();
      },
    });
    const why = await Promise.race([
      held.lost.then(() => "lost"),
      wanted.promise.then(() => "handed_over"),
      this.stopped.then(() => "stopped"),
    ]);
    asked.unsubscribe();
    if (why !== "stopped") {
      link.log.info({ event: `nats_lease_${why}`, worker: this.name, shard: this.shard.stream });
    }
    // The reader first: the worker may be waiting for it.
    const ended = worker.stop();
    reader.close();
    await ended;
    await held.release();
  }
}

/** The subject of a worker's checkpoint in a shard. */
export function checkpointKey(shard: NatsShard, worker: string): string {
  return `${shard.stream}-${worker}`;
}
