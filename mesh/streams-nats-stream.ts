import { hash32 } from "./rendezvous.ts";
import {
  type AppendOptions,
  type BatchHandler,
  type ReadOptions,
  type Running,
  type Stream,
  type StreamEntry,
  StreamUnavailable,
  type SubjectPage,
  type TrimOptions,
  type WorkOptions,
} from "./streams.ts";
import {
  checkAppend,
  checkSubject,
  checkSubjects,
  checkTrim,
  checkWork,
  checkWorkerName,
  readBounds,
  trimEntriesMax,
} from "./streams-input.ts";
import { readCheckpoint } from "./streams-nats-checkpoint.ts";
import type { NatsShard } from "./streams-nats-shard.ts";
import { checkpointKey, NatsShardWorker } from "./streams-nats-worker.ts";

/** A stream of the port over its shards. */
export class NatsStream implements Stream {
  readonly name: string;
  private readonly shards: readonly NatsShard[];
  private readonly checkpoints: NatsShard;
  private readonly workers = new Map<NatsShard, Set<NatsShardWorker>>();
  private open = true;

  constructor(name: string, shards: readonly NatsShard[], checkpoints: NatsShard) {
    this.name = name;
    this.shards = shards;
    this.checkpoints = checkpoints;
    for (const shard of shards) this.workers.set(shard, new Set());
  }

  /** In how many shards workers of this process have the lease, each worker by itself. */
  get leasesHeld(): number {
    const workers = [...this.workers.values()].flatMap((each) => [...each]);
    return workers.filter(({ checkpoint }) => checkpoint !== undefined).length;
  }

  epoch(subject: string): string {
    return this.shardOf(subject).epoch;
  }

  async append(subject: string, data: Uint8Array, options: AppendOptions = {}): Promise<number> {
    checkAppend(subject, data, options);
    this.checkOpen();
    const shard = this.shardOf(subject);
    return shard.appends.add(shard.subjectPrefix + subject, data, options);
  }

  async read(subject: string, options: ReadOptions = {}): Promise<SubjectPage> {
    checkSubject(subject);
    const bounds = readBounds(options);
    this.checkOpen();
    const shard = this.shardOf(subject);
    return shard.reads.page(shard.subjectPrefix + subject, bounds);
  }

  async last(
    subject: string,
    options: { fromLeader?: boolean } = {},
  ): Promise<StreamEntry | undefined> {
    checkSubject(subject);
    this.checkOpen();
    const shard = this.shardOf(subject);
    return shard.reads.last(shard.subjectPrefix + subject, options.fromLeader ?? false);
  }

  async lastSequences(subjects: readonly string[]): Promise<number[]> {
    checkSubjects(subjects);
    this.checkOpen();
    const full = subjects.map((subject) => this.shardOf(subject).subjectPrefix + subject);
    const found = await Promise.all(
      this.shards.map((shard) => {
        const of = full.filter((subject) => subject.startsWith(shard.subjectPrefix));
        return of.length > 0 ? shard.reads.lastSequences(of) : new Map<string, number>();
      }),
    );
    const all = new Map(found.flatMap((each) => [...each]));
    return full.map((subject) => all.get(subject) ?? 0);
  }

  work(options: WorkOptions, handler: BatchHandler): Running {
    checkWork(options);
    this.checkOpen();
    const workers = this.shards.map((shard) => {
      const worker = new NatsShardWorker(shard, this.checkpoints, options, handler);
      this.workers.get(shard)!.add(worker);
      return { shard, worker };
    });
    return {
      stop: async () => {
        await Promise.all(workers.map(({ worker }) => worker.stop()));
        for (const { shard, worker } of workers) this.workers.get(shard)!.delete(worker);
      },
    };
  }

  async checkpoint(name: string, subject: string): Promise<number> {
    checkWorkerName(name);
    checkSubject(subject);
    this.checkOpen();
    const shard = this.shardOf(subject);
    for (const worker of this.workers.get(shard)!) {
      if (worker.name === name && worker.checkpoint !== undefined) return worker.checkpoint;
    }
    return readCheckpoint(this.checkpoints, checkpointKey(shard, name), false);
  }

  async trim(options: TrimOptions): Promise<number> {
    checkTrim(options);
    this.checkOpen();
    let removed = 0;
    for (const shard of this.shards) {
      const limit = trimEntriesMax - removed;
      if (limit > 0) removed += await this.trimShard(shard, options, limit);
    }
    return removed;
  }

  /** Stops the workers, and waits for the outcomes of appends. */
  async close(): Promise<void> {
    this.open = false;
    const workers = [...this.workers.values()].flatMap((each) => [...each]);
    await Promise.all(workers.map((worker) => worker.stop()));
    await Promise.all(this.shards.map((shard) => shard.appends.idle()));
  }

  checkOpen(): void {
    if (!this.open) throw new StreamUnavailable(`stream ${this.name} is closed`);
  }

  private async trimShard(
    shard: NatsShard,
    { workers, olderThanMs, ...pressed }: TrimOptions,
    limit: number,
  ): Promise<number> {
    const nowMs = shard.link.clock.nowMs();
    const through = await this.doneByAll(shard, workers);
    const removed = await shard.trim(through, nowMs, olderThanMs, limit);
    const surplus = Math.min(limit - removed, await shard.surplusEntries());
    if (surplus <= 0) return removed;
    const { pressedWorkers = workers, pressedOlderThanMs = olderThanMs } = pressed;
    const pressedThrough = await this.doneByAll(shard, pressedWorkers);
    return removed + (await shard.trim(pressedThrough, nowMs, pressedOlderThanMs, surplus));
  }

  private async doneByAll(shard: NatsShard, workers: readonly string[]): Promise<number> {
    const checkpoints = await Promise.all(
      workers.map((name) => readCheckpoint(this.checkpoints, checkpointKey(shard, name), true)),
    );
    return Math.min(Number.MAX_SAFE_INTEGER - 1, ...checkpoints);
  }

  /** The same in every process for ever: see NatsStreamPlan.shards. */
  private shardOf(subject: string): NatsShard {
    return this.shards[hash32(subject) % this.shards.length]!;
  }
}
