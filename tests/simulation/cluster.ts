/** The processes of a run: they die, freeze, and are started anew. */
import type { MessageService } from "../../gen/parley/message/v1/message_service_pb.js";
import { Contact_Verdict } from "../../gen/parley/session/v1/session_service_pb.js";
import type { InboxFeeds } from "../../mesh/inbox-feed.ts";
import type { Logger } from "../../mesh/logger.ts";
import { rendezvous } from "../../mesh/rendezvous.ts";
import type { Handlers } from "../../mesh/rpc.ts";
import { Blocks } from "../../services/message/channel/blocks.ts";
import { MemorySearchIndex } from "../../services/message/search/search-index-memory.ts";
import type { RunFaults } from "./faults.ts";
import type { Parts } from "./parts.ts";
import type { Random } from "./random.ts";
import type { IdGen } from "./simulated-ids.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import type { StoreServer } from "./simulated-store.ts";
import type { StreamsServer } from "./simulated-streams.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** How long a process stays away after a crash, and how long a freeze lasts, at most. */
const awayMsMax = 8_000;
/** How far clocks may be off. */
const skewMsMax = 1_500;

/** What the processes work with. */
export interface ClusterOptions {
  time: VirtualTime;
  random: Random;
  faults: RunFaults;
  streams: StreamsServer;
  store: StoreServer;
  idgen: IdGen;
  parts: Parts;
  userIds: readonly string[];
  note(text: string): void;
}

/** A process that serves MessageService. */
export interface Instance {
  process: SimulatedProcess;
  handlers: Handlers<typeof MessageService>;
}

/** A process that feeds devices. */
export interface Edge {
  process: SimulatedProcess;
  feeds: InboxFeeds;
}

/** All processes. */
export class Cluster {
  /** Those that are alive. */
  instances: Instance[] = [];
  edges: Edge[] = [];
  workers: { process: SimulatedProcess }[] = [];
  private readonly options: ClusterOptions;
  private readonly index = new MemorySearchIndex();
  private started = 0;

  constructor(options: ClusterOptions) {
    this.options = options;
    const { random } = options;
    for (let n = random.between(2, 3); n > 0; n--) this.startInstance();
    for (let n = random.between(1, 3); n > 0; n--) this.startEdge();
    for (let n = random.between(1, 2); n > 0; n--) this.startWorker();
  }

  /** The instance that a request about the channel goes to; undefined: none is alive. */
  route(channelId: string): Instance | undefined {
    const { instances } = this;
    const { random, faults } = this.options;
    if (instances.length === 0) return undefined;
    if (faults.calls.strikes("callMisrouted")) return random.pick(instances);
    const name = rendezvous(
      channelId,
      instances.map(({ process }) => process.name),
    );
    return instances.find(({ process }) => process.name === name);
  }

  /** One process dies; another takes its place after a while. */
  crashOne(): void {
    const { random, time } = this.options;
    const kind = random.pick(["instances", "edges", "workers"] as const);
    if (this[kind].length === 0) return;
    const { process } = random.pick<{ process: SimulatedProcess }>(this[kind]);
    process.die();
    this.options.note(`${process.name} dies`);
    this.instances = this.instances.filter((each) => each.process !== process);
    this.edges = this.edges.filter((each) => each.process !== process);
    this.workers = this.workers.filter((each) => each.process !== process);
    time.schedule(random.unit() * awayMsMax, () => {
      if (kind === "instances") this.startInstance();
      else if (kind === "edges") this.startEdge();
      else this.startWorker();
    });
  }

  /** One process stands still for a while. */
  freezeOne(): void {
    const { random, time } = this.options;
    const process = this.any();
    if (!process) return;
    process.frozenUntilMs = time.nowMs + random.unit() * awayMsMax;
    this.options.note(`${process.name} stands still until ${process.frozenUntilMs.toFixed(0)}`);
  }

  /** The clock of one process is set anew. */
  stepClockOfOne(): void {
    const { random } = this.options;
    const process = this.any();
    if (process) process.skewMs = random.between(-skewMsMax, skewMsMax);
  }

  private any(): SimulatedProcess | undefined {
    const all = [...this.instances, ...this.edges, ...this.workers];
    return all.length === 0 ? undefined : this.options.random.pick(all).process;
  }

  private startInstance(): void {
    const { parts, userIds, idgen } = this.options;
    const process = this.newProcess("message");
    const ids = idgen.connect(process);
    const contacts = userIds.map((userId) => ({ userId, verdict: Contact_Verdict.ALLOWED }));
    const { handlers } = parts.messageService({
      streams: this.options.streams.connect(process),
      store: this.options.store.connect(process),
      index: this.index,
      takeIds: (count, greaterThan) => ids.take(count, greaterThan),
      lookUpNames: async () => [],
      blocks: new Blocks(async () => new Map(), process.clock),
      checkContacts: async () => contacts,
      inviteSecret: "s3cret",
      clock: process.clock,
      logger: this.logger(process),
    });
    this.instances.push({ process, handlers: handlers as Handlers<typeof MessageService> });
  }

  private startEdge(): void {
    const process = this.newProcess("edge");
    const streams = this.options.streams.connect(process);
    const feeds = this.options.parts.inboxFeeds({ streams, clock: process.clock, catchUpsMax: 4 });
    this.edges.push({ process, feeds });
  }

  private startWorker(): void {
    const process = this.newProcess("worker");
    this.options.parts.workers({
      streams: this.options.streams.connect(process),
      store: this.options.store.connect(process),
      index: this.index,
      clock: process.clock,
      logger: this.logger(process),
    });
    this.workers.push({ process });
  }

  private logger({ name }: SimulatedProcess): Logger {
    const { note } = this.options;
    return {
      debug: () => {},
      info: () => {},
      warn: ({ event, err }) => note(`${name}: ${event} ${err}`),
      error: ({ event, err }) => note(`${name}: ${event} ${err}`),
    };
  }

  private newProcess(role: string): SimulatedProcess {
    const process = new SimulatedProcess(`${role} ${++this.started}`, this.options.time);
    process.skewMs = this.options.random.between(-skewMsMax, skewMsMax);
    this.options.note(`${process.name} starts`);
    return process;
  }
}
