/** What goes wrong in a run, and how often: drawn by the seed, some kinds at a time. */
import { Faults } from "../../mesh/faults.ts";
import type { StreamFault } from "../../mesh/streams-faults.ts";
import type { StoreFault } from "../../services/message/store/message-store-faults.ts";
import type { Random } from "./random.ts";

const streamFaults: readonly StreamFault[] = [
  ...(["unavailable", "appendUnknownStored", "appendUnknownLost", "appendUnknownLate"] as const),
  ...(["readStale", "checkpointStale", "liveLost", "liveDoubled", "liveDelayed"] as const),
  ...(["batchCut", "batchAgain", "checkpointLost", "workerDoubled"] as const),
];

const storeFaults: readonly StoreFault[] = [
  ...(["writeUnknown", "writePartial", "writeLost", "readFails"] as const),
];

/** What else can befall a call. */
const callFaults = [
  /** A write to the store is made once more, much later. */
  "writeLate",
  /** IdGen does not answer. */
  "idsFail",
  /** A client's request or its answer is lost. */
  "callLost",
  /** A request goes to another instance than the others of its channel. */
  "callMisrouted",
  /** A hop takes up to two seconds instead of milliseconds. */
  "hopSlow",
] as const;

/** What can befall the world, and how often in a minute. */
const worldFaults = {
  crash: [4, 15, 60],
  /** A process stands still for a while. */
  freeze: [4, 15, 60],
  storeOutage: [4, 15, 60],
  /** The clock of a process is set anew. */
  clockStep: [4, 15, 60],
  /** All machines stand still, for hours or days. */
  pause: [4, 15],
} as const;

/** A kind of fault that befalls the world. */
export type WorldFault = keyof typeof worldFaults;

/** The share of kinds that a run has, and how often one of them strikes a call. */
const kindsShare = 0.35;
const callChances = [0.01, 0.05, 0.2];

/** The faults of one run. */
export class RunFaults {
  readonly streams: Faults<StreamFault>;
  readonly store: Faults<StoreFault>;
  readonly calls: Faults<(typeof callFaults)[number]>;
  private readonly random: Random;
  private readonly world: Partial<Record<WorldFault, number>> = {};

  constructor(random: Random) {
    this.random = random;
    const draw = <F extends string>(kinds: readonly F[]) => {
      const drawn: Partial<Record<F, number>> = {};
      for (const kind of kinds)
        if (random.chance(kindsShare)) drawn[kind] = random.pick(callChances);
      return drawn;
    };
    this.streams = new Faults(random.unit, draw(streamFaults));
    this.store = new Faults(random.unit, draw(storeFaults));
    this.calls = new Faults(random.unit, draw(callFaults));
    for (const kind of Object.keys(worldFaults) as WorldFault[]) {
      if (random.chance(kindsShare)) this.world[kind] = random.pick(worldFaults[kind]);
    }
  }

  /** How long until it happens to the world; undefined: never. */
  untilMs(fault: WorldFault): number | undefined {
    const rate = this.world[fault];
    return rate && (-Math.log(1 - this.random.unit()) / rate) * 60_000;
  }

  /** How long one hop takes. */
  hopMs(): number {
    if (this.calls.strikes("hopSlow")) return this.random.unit() * 2_000;
    return 0.1 + this.random.unit() * (this.random.chance(0.1) ? 30 : 3);
  }

  /** Whether the store is not always at hand in this run: a pause breaks the calls under way. */
  get storeFalters(): boolean {
    const { storeOutage, pause } = this.world;
    return Object.keys(this.store.chances).length > 0 || (storeOutage ?? pause) !== undefined;
  }

  /** Nothing goes wrong with calls any more. */
  stop(): void {
    for (const faults of [this.streams, this.store, this.calls]) faults.chances = {};
  }

  /** The kinds that are on, for a trace. */
  toString(): string {
    const { streams, store, calls, world } = this;
    const on = { ...streams.chances, ...store.chances, ...calls.chances, ...world };
    const kinds = Object.entries(on).map(([kind, rate]) => `${kind} ${rate}`);
    return kinds.join(", ") || "none";
  }
}
