/** One run: a few users, their devices and the processes that serve them, made by a seed. */
import { directChannelId } from "../../services/message/channel/changes.ts";
import { fanOutWorker } from "../../services/message/workers/fan-out.ts";
import { persistWorker } from "../../services/message/workers/persist.ts";
import { Attempts } from "./attempts.ts";
import { Cluster } from "./cluster.ts";
import { Device } from "./device.ts";
import { RunFaults } from "./faults.ts";
import { HistoryReader } from "./history-reader.ts";
import type { Invariant, Violation } from "./invariants.ts";
import { Network } from "./network.ts";
import { type Parts, realParts } from "./parts.ts";
import { Random } from "./random.ts";
import { IdGen } from "./simulated-ids.ts";
import { StoreServer } from "./simulated-store.ts";
import { StreamsServer } from "./simulated-streams.ts";
import { TrueInbox } from "./true-inbox.ts";
import { isMessage, type TrueItem, TrueLog } from "./true-log.ts";
import { VirtualTime } from "./virtual-time.ts";
import { Workload } from "./workload.ts";

/** How a seed is run. */
export interface RunOptions {
  /** Default: the real ones. */
  parts?: Parts;
  /** The invariant that is checked; unset: all. */
  only?: Invariant;
  /** Is given lines that tell what happens. */
  trace?: string[];
}

/** Everything there is in a run. */
export class World {
  readonly random: Random;
  readonly time = new VirtualTime();
  readonly faults: RunFaults;
  readonly streams: StreamsServer;
  readonly store: StoreServer;
  readonly cluster: Cluster;
  readonly network: Network;
  readonly truth: TrueLog;
  readonly attempts: Attempts;
  readonly history: HistoryReader;
  readonly userIds: readonly string[];
  readonly devices: Device[] = [];
  readonly workloads: Workload[] = [];
  /** The channels that users know of. */
  readonly channelIds = new Set<string>();
  readonly channelsMax: number;
  /** Faults have stopped; everything comes to its end. */
  isSettling = false;
  violation: Violation | undefined;
  /** Lines of what happened; undefined: nobody wants them. */
  readonly trace: string[] | undefined;
  private readonly only: Invariant | undefined;
  private readonly inboxes = new Map<string, TrueInbox>();

  constructor(seed: number, { parts = realParts, only, trace }: RunOptions) {
    this.trace = trace;
    this.only = only;
    const random = new Random(seed);
    this.random = random;
    this.faults = new RunFaults(random);
    const { time, faults } = this;
    const blame = (invariant: Invariant, what: string) => this.blame(invariant, what);
    this.truth = new TrueLog(blame);
    this.attempts = new Attempts(blame);
    this.streams = new StreamsServer(time, random, faults, random.pick([3, 10, 5_000]));
    const { log, inbox } = this.streams.server;
    log.onStored = (entry) => {
      for (const item of this.truth.add(entry)) this.onItem(item);
    };
    const republish = inbox.onStored;
    inbox.onStored = (entry, prevSequence) => {
      this.inboxOf(entry.subject).add(entry);
      republish(entry, prevSequence);
    };
    this.store = new StoreServer(time, random, faults);
    this.userIds = ["ann", "ben", "cem", "dan", "eve"].slice(0, random.between(2, 5));
    this.channelsMax = random.between(1, 3);
    const { streams, store, userIds } = this;
    const idgen = new IdGen(time, random, faults);
    const note = (text: string) => this.note(text);
    this.note(`faults: ${faults}`);
    this.cluster = new Cluster({
      time,
      random,
      faults,
      streams,
      store,
      idgen,
      parts,
      userIds,
      note,
    });
    this.network = new Network(this.cluster, time, faults, blame);
    this.history = new HistoryReader(this.network, this.truth, blame);
    this.channelIds.add(directChannelId(userIds[0]!, userIds[1]!));
    for (const userId of userIds) {
      for (let n = random.between(1, 2); n > 0; n--) this.addDevice(userId);
    }
  }

  private onItem(item: TrueItem) {
    const { channelId, channelSequence, senderId, clientMessageId } = item;
    const place = `${channelId} #${channelSequence} ${senderId} ${clientMessageId}`;
    this.note(`log: ${place} ${whatIs(item)}`);
    this.attempts.store(item);
  }

  private addDevice(userId: string): void {
    const device = new Device(this, userId, `d${this.devices.length}`);
    this.devices.push(device);
    this.workloads.push(new Workload(device));
  }

  /** Something is as it must not be. The first such thing ends the run. */
  blame(invariant: Invariant, what: string): void {
    if (this.violation || (this.only ?? invariant) !== invariant) return;
    this.note(`VIOLATION of ${invariant}: ${what}`);
    this.violation = { invariant, what };
  }

  /** Says what happens, for a reader of the trace. */
  note(text: string): void {
    this.trace?.push(`${(this.time.nowMs / 1_000).toFixed(3)} ${text}`);
  }

  /** Whether nothing is left to be done, as far as one can see. */
  get isQuiet(): boolean {
    return this.whatIsNotQuiet() === "";
  }

  /** What is left to be done; empty: nothing. */
  whatIsNotQuiet(): string {
    const busy = this.workloads.filter(({ isDone }) => !isDone).length;
    if (busy > 0) return `${busy} users still await answers`;
    const { log } = this.streams.server;
    for (const worker of [persistWorker, fanOutWorker]) {
      const done = log.checkpointOf(worker);
      const left = log.entriesAfter(done, 1_000).length;
      if (left > 0) return `${worker} stands at ${done}, ${left} entries are left`;
    }
    const device = this.devices.find(({ isSettled }) => !isSettled);
    return device ? `${device.deviceId} of ${device.userId} is not caught up` : "";
  }

  /** What has ever been stored in a user's inbox. */
  inboxOf(userId: string): TrueInbox {
    let inbox = this.inboxes.get(userId);
    if (!inbox) {
      inbox = new TrueInbox(userId);
      this.inboxes.set(userId, inbox);
    }
    return inbox;
  }
}

function whatIs(item: TrueItem): string {
  if (!isMessage(item)) return `${item.change.case} of #${item.messageChannelSequence}`;
  if (item.body.case === "text") return "text";
  const { body } = item;
  return body.case === "membershipChange" ? `${body.value.kind} ${body.value.userIds}` : "";
}
