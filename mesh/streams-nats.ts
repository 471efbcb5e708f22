/**
 * Streams in NATS JetStream with the live bus on core NATS: for many processes on many machines.
 *
 * Each shard is a JetStream stream, `<prefix>LOG-<n>` or `<prefix>INBOX-<n>`, and there is one of
 * revocations, one of the workers' checkpoints, one of dead letters. What is stored in an inbox is
 * republished by the server on `<prefix>live.inbox.<n>.<user>`, what a worker tells of a log is
 * published on `<prefix>live.log.<n>.<channel>`, that an account has changed on
 * `<prefix>live.account.0.changed`. Nothing is kept per user or channel but what is
 * subscribed to.
 *
 * What the server can't promise, beside what an acknowledgement means (AckMeaning):
 * - A leader that was cut off may answer leader reads for up to 10 s (streams-nats-reads.ts).
 * - A server that has lost what it acknowledged, or was restored from a backup, gives sequences
 *   again. Whoever restores a stream writes another `parley_epoch` into its metadata.
 *
 * How fast it is, and how it was measured: docs/BENCHMARKS.md.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import type { Clock } from "./clock.ts";
import { type Logger, silentLogger } from "./logger.ts";
import type { Metrics } from "./metrics.ts";
import type { LiveMessage, PublishedEntry, Running, Streams } from "./streams.ts";
import { accountMessage, accountsSubject, toAccounts } from "./streams-bus.ts";
import { deadLettersMax } from "./streams-dead-letters.ts";
import { checkSubject } from "./streams-input.ts";
import { type AckMeaning, readAckMeaning } from "./streams-nats-ack-meaning.ts";
import { ensureStream, type NatsStreamPlan } from "./streams-nats-config.ts";
import { NatsDeadLetters } from "./streams-nats-dead-letters.ts";
import { type NatsCredentials, NatsLink } from "./streams-nats-link.ts";
import { NatsLive } from "./streams-nats-live.ts";
import { NatsShard } from "./streams-nats-shard.ts";
import { NatsStream } from "./streams-nats-stream.ts";
import { defaultRetention, type Retention, type StreamsRetention } from "./streams-retention.ts";

/** Where the streams are and how they behave. */
export interface NatsStreamsOptions {
  /** "nats://host:4222", one or more of a cluster's. */
  urls: readonly string[];
  credentials?: NatsCredentials;
  /** Of the servers' monitors, "http://host:8222": tells what an acknowledgement means. */
  monitorUrls?: readonly string[];
  /** Before the names of streams and subjects: up to 32 of a-z, A-Z, 0-9, _ and -. Default: "". */
  prefix?: string;
  /** Fixed when the streams are made: a subject's shard hangs on them. Default: 8 of each. */
  shards?: NatsShardCounts;
  /** Copies of each stream, 1 to 5. In production: 3. */
  replicas: number;
  /** Bytes of one shard of the log, past which appends are refused. Default: 4 GiB. */
  logShardBytesMax?: number;
  /** Default: {@link defaultRetention}. */
  retention?: StreamsRetention;
  /** How long an answer of the server may take. Default: 5,000. */
  timeoutMs?: number;
  /** How long the server may take at the start to be there, and then as long for its streams: 30,000. */
  openTimeoutMs?: number;
  clock: Clock;
  log?: Logger;
  metrics?: Metrics;
}

/** How many JetStream streams make up a stream. */
export interface NatsShardCounts {
  log: number;
  inbox: number;
}

/** Streams in NATS. */
export interface NatsStreams extends Streams {
  /** What it means that an append has resolved. */
  readonly ackMeaning: AckMeaning;
}

/**
 * Opens the streams, makes what is missing, and compares what is there with the options.
 *
 * @throws StreamSettingsDiffer where a stream has other settings or there are other shards;
 *   StreamUnavailable where the server can't be reached or refuses; Error where it is too old.
 */
export async function openNatsStreams(options: NatsStreamsOptions): Promise<NatsStreams> {
  const { urls, credentials = {}, clock, log = silentLogger, metrics } = options;
  const {
    timeoutMs = 5_000,
    openTimeoutMs = openTimeoutMsDefault,
    prefix = "",
    replicas,
  } = options;
  if (!/^[A-Za-z0-9_-]{0,32}$/.test(prefix)) {
    throw new Error(`prefix: ${JSON.stringify(prefix)} is not up to 32 of a-z, A-Z, 0-9, _ and -`);
  }
  const link = await NatsLink.open({ urls, credentials, clock, log, timeoutMs, openTimeoutMs });
  try {
    checkVersion(link.connection.info?.version ?? "unknown");
    const shards = await openShards(link, options);
    const ackMeaning = await readAckMeaning(replicas, options.monitorUrls ?? []);
    const streams = new NatsStreamsOverShards(link, prefix, shards, ackMeaning);
    const level = ackMeaning.isSynced ? "info" : "warn";
    log[level]({ event: "nats_streams_open", ackMeaning: ackMeaning.text });
    if (metrics) showMetrics(metrics, link, ackMeaning, shards, streams.log);
    return streams;
  } catch (thrown) {
    await link.close();
    throw thrown;
  }
}

const openTimeoutMsDefault = 30_000;

interface Shards {
  log: NatsShard[];
  inbox: NatsShard[];
  revocations: NatsShard;
  checkpoints: NatsShard;
  deadLetters: NatsShard;
}

class NatsStreamsOverShards implements NatsStreams {
  readonly log: NatsStream;
  readonly inbox: NatsStream;
  readonly revocations: NatsStream;
  readonly deadLetters: NatsDeadLetters;
  readonly ackMeaning: AckMeaning;
  private readonly link: NatsLink;
  private readonly liveInboxes: NatsLive;
  private readonly liveLogs: NatsLive;
  private readonly liveAccounts: NatsLive;
  private readonly checkpoints: NatsShard;
  private closed: Promise<void> | undefined;

  constructor(link: NatsLink, prefix: string, shards: Shards, ackMeaning: AckMeaning) {
    const { checkpoints } = shards;
    this.link = link;
    this.ackMeaning = ackMeaning;
    this.checkpoints = checkpoints;
    this.log = new NatsStream("log", shards.log, checkpoints);
    this.inbox = new NatsStream("inbox", shards.inbox, checkpoints);
    this.revocations = new NatsStream("revocations", [shards.revocations], checkpoints);
    this.deadLetters = new NatsDeadLetters(shards.deadLetters, () => this.log.checkOpen());
    this.liveInboxes = new NatsLive(link, livePrefix(prefix, "inbox"), shards.inbox.length);
    this.liveLogs = new NatsLive(link, livePrefix(prefix, "log"), shards.log.length);
    this.liveAccounts = new NatsLive(link, livePrefix(prefix, "account"), 1);
  }

  async subscribeInbox(
    userId: string,
    onMessage: (message: LiveMessage) => void,
  ): Promise<Running> {
    checkSubject(userId);
    this.inbox.checkOpen();
    return this.liveInboxes.subscribe(userId, onMessage);
  }

  get interruptions(): number {
    return this.link.reconnects;
  }

  publishInbox(userId: string, data: Uint8Array): void {
    checkSubject(userId);
    this.liveInboxes.publish(userId, data);
  }

  async subscribeLog(
    channelId: string,
    onMessage: (message: LiveMessage) => void,
  ): Promise<Running> {
    checkSubject(channelId);
    this.log.checkOpen();
    return this.liveLogs.subscribe(channelId, onMessage);
  }

  publishLog(channelId: string, entry: PublishedEntry): void {
    checkSubject(channelId);
    this.liveLogs.publishEntry(channelId, entry);
  }

  async subscribeAccounts(onChange: (userId: string) => void): Promise<Running> {
    this.log.checkOpen();
    return this.liveAccounts.subscribe(accountsSubject, toAccounts(onChange));
  }

  publishAccount(userId: string): void {
    checkSubject(userId);
    this.liveAccounts.publish(accountsSubject, accountMessage(userId).data);
  }

  close(): Promise<void> {
    this.closed ??= this.closeOnce();
    return this.closed;
  }

  private async closeOnce(): Promise<void> {
    await Promise.all([this.log, this.inbox, this.revocations].map((stream) => stream.close()));
    await this.checkpoints.appends.idle();
    this.liveInboxes.close();
    this.liveLogs.close();
    this.liveAccounts.close();
    await this.link.close();
  }
}

const unlimited: Retention = {
  entriesPerSubjectMax: Number.POSITIVE_INFINITY,
  ageMaxMs: Number.POSITIVE_INFINITY,
};

async function openShards(link: NatsLink, options: NatsStreamsOptions): Promise<Shards> {
  const { replicas, prefix = "", retention = defaultRetention } = options;
  const { shards = { log: 8, inbox: 8 }, logShardBytesMax = 4 * 2 ** 30 } = options;
  const manager = await jetstreamManager(link.connection, { checkAPI: false });
  const untilMs = link.clock.monotonicMs() + (options.openTimeoutMs ?? openTimeoutMsDefault);
  const open = async (plan: Omit<NatsStreamPlan, "replicas">): Promise<NatsShard> => {
    const { name: stream, subjectPrefix } = plan;
    const epoch = await ensureStream(manager.streams, { ...plan, replicas }, link.clock, untilMs);
    return new NatsShard({ link, stream, subjectPrefix, epoch, replicas });
  };
  const single = (name: string, token: string, more: Partial<NatsStreamPlan>) =>
    open({
      name: prefix + name,
      subjectPrefix: `${prefix}${token}.`,
      shards: 1,
      retention: unlimited,
      ...more,
    });
  const logShard = (n: number) =>
    open({
      name: `${prefix}LOG-${n}`,
      subjectPrefix: `${prefix}log.${n}.`,
      shards: shards.log,
      retention: retention.log,
      bytesMax: logShardBytesMax,
    });
  const inboxShard = (n: number) =>
    open({
      name: `${prefix}INBOX-${n}`,
      subjectPrefix: `${prefix}inbox.${n}.`,
      republishPrefix: `${livePrefix(prefix, "inbox")}${n}.`,
      shards: shards.inbox,
      retention: retention.inbox,
    });
  const one = { ...unlimited, entriesPerSubjectMax: 1 };
  return {
    // One after the other: of processes with other counts one wins the first, the others stop.
    log: await inOrder(shards.log, logShard),
    inbox: await inOrder(shards.inbox, inboxShard),
    revocations: await single("REVOCATIONS", "revocations", { retention: retention.revocations }),
    checkpoints: await single("CHECKPOINTS", "checkpoint", { retention: one }),
    deadLetters: await single("DEAD-LETTERS", "dead-letter", {
      retention: one,
      entriesMax: deadLettersMax,
    }),
  };
}

async function inOrder<T>(count: number, make: (n: number) => Promise<T>): Promise<T[]> {
  const made: T[] = [];
  for (let n = 0; n < count; n++) made.push(await make(n));
  return made;
}

function livePrefix(prefix: string, stream: "inbox" | "log" | "account"): string {
  return `${prefix}live.${stream}.`;
}

/** Before it, acknowledged entries could be lost even with `sync_interval: always`. */
const versionMin = [2, 14, 6] as const;

function checkVersion(version: string): void {
  const parts = version.split(/[.-]/, 3).map(Number);
  const difference = versionMin.map((min, i) => (parts[i] ?? 0) - min).find((each) => each !== 0);
  if (difference === undefined || difference > 0) return;
  throw new Error(`NATS ${version} is too old; at least ${versionMin.join(".")} is needed`);
}

function showMetrics(
  metrics: Metrics,
  link: NatsLink,
  { replicas, isSynced }: AckMeaning,
  shards: Shards,
  logStream: NatsStream,
) {
  const all = [...shards.log, ...shards.inbox, shards.revocations];
  const gauges: [name: string, help: string, read: () => number][] = [
    ["up", "1 while NATS can be reached.", () => Number(link.isUp)],
    ["reconnects", "How often the connection was made again.", () => link.reconnects],
    ["replicas", "On how many servers an acknowledged entry is.", () => replicas],
    [
      "synced_before_ack",
      "1: an acknowledged entry is on disk; 0: it will be; -1: not known.",
      () => (isSynced === undefined ? -1 : Number(isSynced)),
    ],
    [
      "appends_of_unknown_outcome",
      "Appends that may or may not be stored.",
      () => all.reduce((sum, { appends }) => sum + appends.unknown, 0),
    ],
    [
      "worker_leases",
      "In how many shards workers of this process work, each worker by itself.",
      () => logStream.leasesHeld,
    ],
  ];
  for (const [name, help, read] of gauges) metrics.gauge(`parley_nats_${name}`, help, read);
}
