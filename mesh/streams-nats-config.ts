/**
 * The JetStream streams that Parley keeps its streams in: made where missing, and where present
 * compared with what this process expects, as a process with other settings would break promises
 * that the others make.
 */
import { randomBytes } from "node:crypto";
import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  PersistMode,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { type Clock, sleep } from "./clock.ts";
import { StreamUnavailable } from "./streams.ts";
import type { Retention } from "./streams-retention.ts";

/** What a JetStream stream is to be. */
export interface NatsStreamPlan {
  /** "t1-LOG-0". */
  name: string;
  /** What comes before the subjects of the port: "t1-log.0.". */
  subjectPrefix: string;
  /** Where entries are republished, in place of the prefix. */
  republishPrefix?: string;
  retention: Retention;
  replicas: number;
  /** Past it appends are refused; unset: no limit. */
  bytesMax?: number;
  /** Past it appends to further subjects are refused; unset: no limit. */
  entriesMax?: number;
  /** How many shards there are of its kind: stored, as a subject's shard hangs on it. */
  shards: number;
}

/** A stream's settings are not what this process was told, and changing them is not its business. */
export class StreamSettingsDiffer extends Error {
  override readonly name = "StreamSettingsDiffer";
}

/** How long dedupe ids are remembered; see AppendOptions.dedupeId. */
const dedupeWindowMs = 120_000;

/** The least that the server takes for it. */
const dedupeWindowMsMin = 100;

/** The pause before what could not be found nor made is looked for again. */
const againMs = 200;

const epochKey = "parley_epoch";
const shardsKey = "parley_shards";
const streamNotFound = 10059;
const nameInUse = 10058;
/** Of a cluster that elects its leaders or does not know all its servers yet. */
const notYet = [10005, 10008, 10074];

/**
 * Makes the stream if it is missing. Several servers need a while: what another process is making
 * can't be found at once, and who asks at the same time as many others may get no answer.
 *
 * @param untilMs by `clock.monotonicMs()`: when to give up
 * @returns its epoch
 * @throws StreamSettingsDiffer, StreamUnavailable
 */
export async function ensureStream(
  streams: JetStreamManager["streams"],
  plan: NatsStreamPlan,
  clock: Clock,
  untilMs: number,
): Promise<string> {
  let found: StreamConfig | undefined;
  while (!found) {
    try {
      found = (await findStream(streams, plan.name)) ?? (await makeStream(streams, plan));
    } catch (thrown) {
      if (!isPassing(thrown) || clock.monotonicMs() >= untilMs)
        throw asUnavailable(plan.name, thrown);
    }
    if (!found) await sleep(clock, againMs);
  }
  const epoch = found.metadata?.[epochKey];
  if (!epoch || !/^[a-z0-9]{1,32}$/.test(epoch)) {
    throw new StreamSettingsDiffer(`${plan.name}: has no epoch; it was not made by Parley`);
  }
  verify(found, configOf(plan, epoch));
  return epoch;
}

async function findStream(
  streams: JetStreamManager["streams"],
  name: string,
): Promise<StreamConfig | undefined> {
  try {
    return (await streams.info(name)).config;
  } catch (thrown) {
    if (isApiError(thrown, streamNotFound)) return undefined;
    throw thrown;
  }
}

async function makeStream(
  streams: JetStreamManager["streams"],
  plan: NatsStreamPlan,
): Promise<StreamConfig> {
  return (await streams.add(configOf(plan, randomBytes(8).toString("hex")))).config;
}

/** Whether a later try may have another end: no answer, no leader yet, another process is at it. */
function isPassing(thrown: unknown): boolean {
  if (!(thrown instanceof JetStreamApiError)) return true;
  return thrown.code === nameInUse || notYet.includes(thrown.code);
}

function configOf(plan: NatsStreamPlan, epoch: string): ExpectedConfig {
  const { retention, replicas, bytesMax, entriesMax, shards, republishPrefix } = plan;
  const { ageMaxMs, entriesPerSubjectMax } = retention;
  const windowMs = Math.max(dedupeWindowMsMin, Math.min(dedupeWindowMs, ageMaxMs));
  const isBounded = bytesMax !== undefined || entriesMax !== undefined;
  const src = `${plan.subjectPrefix}>`;
  return {
    name: plan.name,
    subjects: [src],
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    num_replicas: replicas,
    // Where there is a limit, refuse rather than lose what nobody has carried on yet.
    discard: isBounded ? DiscardPolicy.New : DiscardPolicy.Old,
    discard_new_per_subject: false,
    max_bytes: bytesMax ?? -1,
    max_msgs: entriesMax ?? -1,
    max_msgs_per_subject: Number.isFinite(entriesPerSubjectMax) ? entriesPerSubjectMax : -1,
    max_age: Number.isFinite(ageMaxMs) ? nanoseconds(ageMaxMs) : 0,
    max_msg_size: -1,
    duplicate_window: nanoseconds(windowMs),
    allow_direct: true,
    deny_purge: false,
    ...(republishPrefix !== undefined && {
      republish: { src, dest: `${republishPrefix}>`, headers_only: false },
    }),
    metadata: { [epochKey]: epoch, [shardsKey]: String(shards) },
  };
}

type ExpectedConfig = Pick<
  StreamConfig,
  | "name"
  | "subjects"
  | "retention"
  | "storage"
  | "num_replicas"
  | "discard"
  | "discard_new_per_subject"
  | "max_bytes"
  | "max_msgs"
  | "max_msgs_per_subject"
  | "max_age"
  | "max_msg_size"
  | "duplicate_window"
  | "allow_direct"
  | "deny_purge"
> &
  Partial<Pick<StreamConfig, "republish" | "metadata">>;

/** @throws StreamSettingsDiffer with every difference. */
function verify(found: StreamConfig, expected: ExpectedConfig): void {
  const { metadata, republish, ...settings } = expected;
  const wanted: Record<string, unknown> = {
    ...settings,
    shards: metadata?.[shardsKey],
    "republish.src": republish?.src,
    "republish.dest": republish?.dest,
    "republish.headers_only": republish?.headers_only,
    // It would acknowledge before anything is written, whatever the server's sync_interval is.
    persist_mode: PersistMode.Default,
    subject_transform: undefined,
  };
  const actual: Record<string, unknown> = {
    ...found,
    shards: found.metadata?.[shardsKey],
    "republish.src": found.republish?.src,
    "republish.dest": found.republish?.dest,
    "republish.headers_only": found.republish && (found.republish.headers_only ?? false),
    discard_new_per_subject: found.discard_new_per_subject ?? false,
    persist_mode: found.persist_mode || PersistMode.Default,
  };
  const differences = Object.keys(wanted)
    .filter((key) => JSON.stringify(actual[key]) !== JSON.stringify(wanted[key]))
    .map(
      (key) => `${key} is ${show(actual[key])}, this process was started for ${show(wanted[key])}`,
    );
  if (differences.length > 0) {
    throw new StreamSettingsDiffer(`${expected.name}: ${differences.join("; ")}`);
  }
}

function show(value: unknown): string {
  return value === undefined ? "not set" : JSON.stringify(value);
}

function nanoseconds(ms: number): number {
  return ms * 1_000_000;
}

function isApiError(thrown: unknown, code: number): boolean {
  return thrown instanceof JetStreamApiError && thrown.code === code;
}

function asUnavailable(name: string, thrown: unknown): Error {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new StreamUnavailable(`${name}: ${text}`, { cause: thrown });
}
