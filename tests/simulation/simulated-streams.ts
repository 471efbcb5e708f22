/**
 * The streams as a process of a run has them: in memory, with the faults that the port allows,
 * and behind hops.
 */
import type { Clock } from "../../mesh/clock.ts";
import {
  type AppendOptions,
  AppendOutcomeUnknown,
  type BatchHandler,
  type LiveMessage,
  type ReadOptions,
  type Running,
  type Stream,
  type Streams,
  StreamUnavailable,
  type WorkOptions,
} from "../../mesh/streams.ts";
import { withFaults } from "../../mesh/streams-faults.ts";
import { MemoryStreamsServer } from "../../mesh/streams-memory.ts";
import { defaultRetention } from "../../mesh/streams-retention.ts";
import type { RunFaults } from "./faults.ts";
import { Hops } from "./hops.ts";
import type { Random } from "./random.ts";
import { Lane, SimulatedProcess } from "./simulated-process.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** How much later than its failure an append may land. */
const lateMsMax = 20_000;

/** The streams' server, with what is between it and the processes. */
export class StreamsServer {
  readonly server: MemoryStreamsServer;
  private readonly time: VirtualTime;
  private readonly random: Random;
  private readonly faults: RunFaults;
  private readonly outliving: Streams;
  /** Of what is late; what is under way when all machines stand still does not arrive. */
  private readonly lateClock: Clock;

  constructor(time: VirtualTime, random: Random, faults: RunFaults, inboxEntriesMax: number) {
    this.time = time;
    this.random = random;
    this.faults = faults;
    const { clock } = new SimulatedProcess("streams", time);
    const inbox = { ...defaultRetention.inbox, entriesPerSubjectMax: inboxEntriesMax };
    this.server = new MemoryStreamsServer({ clock, retention: { ...defaultRetention, inbox } });
    this.lateClock = {
      ...clock,
      setTimer(delayMs, callback) {
        const { jumps } = time;
        return clock.setTimer(delayMs, () => {
          if (time.jumps === jumps) callback();
        });
      },
    };
    this.outliving = this.server.connect();
  }

  /** The streams as one process has them, until it dies. */
  connect(process: SimulatedProcess): Streams {
    const { time, random, faults } = this;
    const connection = this.server.connect();
    const streams = withFaults(connection, {
      faults: faults.streams,
      clock: this.lateClock,
      lateMsMax,
      lateTo: this.outliving,
    });
    const hops = new Hops(process, time, faults);
    // What is on its way when the process dies still arrives.
    process.onDeath(() => {
      time.schedule(lateMsMax, () => void connection.close());
    });
    return {
      log: new DistantStream(streams.log, hops, random),
      inbox: new DistantStream(streams.inbox, hops, random),
      revocations: new DistantStream(streams.revocations, hops, random),
      deadLetters: {
        park: (letter) => hops.ask(() => streams.deadLetters.park(letter), away),
        count: () => hops.ask(() => streams.deadLetters.count(), away),
        list: (after, limit) => hops.ask(() => streams.deadLetters.list(after, limit), away),
      },
      subscribeInbox: (userId, onMessage) => {
        const lane = new Lane(time);
        const hear = (message: LiveMessage) => hops.tell(lane, () => onMessage(message));
        return hops.ask(() => streams.subscribeInbox(userId, hear), away);
      },
      interruptions: 0,
      publishInbox: (userId, data) => streams.publishInbox(userId, data),
      subscribeLog: (channelId, onMessage) => {
        const lane = new Lane(time);
        const hear = (message: LiveMessage) => hops.tell(lane, () => onMessage(message));
        return hops.ask(() => streams.subscribeLog(channelId, hear), away);
      },
      publishLog: (channelId, entry) => streams.publishLog(channelId, entry),
      subscribeAccounts: (onChange) => {
        const lane = new Lane(time);
        const hear = (userId: string) => hops.tell(lane, () => onChange(userId));
        return hops.ask(() => streams.subscribeAccounts(hear), away);
      },
      publishAccount: (userId) => streams.publishAccount(userId),
      close: () => streams.close(),
    };
  }
}

/** A stream behind hops. */
class DistantStream implements Stream {
  readonly name: string;
  private readonly stream: Stream;
  private readonly hops: Hops;
  private readonly random: Random;

  constructor(stream: Stream, hops: Hops, random: Random) {
    this.name = stream.name;
    this.stream = stream;
    this.hops = hops;
    this.random = random;
  }

  epoch(subject: string): string {
    return this.stream.epoch(subject);
  }

  append(subject: string, data: Uint8Array, options?: AppendOptions): Promise<number> {
    return this.hops.askInOrder(
      subject,
      () => this.stream.append(subject, data, options),
      () => new AppendOutcomeUnknown("the connection broke"),
    );
  }

  /** Pages are cut where the server likes, though never to a single entry. */
  read(subject: string, options: ReadOptions = {}) {
    const { limit = 1_024 } = options;
    const cut = this.random.chance(0.2) ? Math.min(limit, this.random.between(2, 5)) : limit;
    return this.hops.ask(() => this.stream.read(subject, { ...options, limit: cut }), away);
  }

  last(subject: string, options?: { fromLeader?: boolean }) {
    return this.hops.ask(() => this.stream.last(subject, options), away);
  }

  lastSequences(subjects: readonly string[]): Promise<number[]> {
    return this.hops.ask(() => this.stream.lastSequences(subjects), away);
  }

  work(options: WorkOptions, handler: BatchHandler): Running {
    const arrived = () => this.hops.ask(async () => {}, away);
    return this.stream.work(options, async (entries, batch) => {
      await arrived();
      await handler(entries, batch);
      await arrived();
    });
  }

  checkpoint(name: string, subject: string): Promise<number> {
    return this.hops.ask(() => this.stream.checkpoint(name, subject), away);
  }

  trim(options: { olderThanMs: number; workers: readonly string[] }): Promise<number> {
    return this.hops.ask(() => this.stream.trim(options), away);
  }
}

function away(): StreamUnavailable {
  return new StreamUnavailable("the connection broke");
}
