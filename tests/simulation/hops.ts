/**
 * The way between a process and a server that keeps what it is given: a message there and one
 * back. A process that dies meanwhile learns nothing more; what it has asked for happens.
 */
import type { RunFaults } from "./faults.ts";
import { Lane, type SimulatedProcess } from "./simulated-process.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** The hops of one process. */
export class Hops {
  readonly process: SimulatedProcess;
  private readonly time: VirtualTime;
  private readonly faults: RunFaults;
  private readonly lanes = new Map<string, Lane>();

  constructor(process: SimulatedProcess, time: VirtualTime, faults: RunFaults) {
    this.process = process;
    this.time = time;
    this.faults = faults;
  }

  /**
   * Lets a server act and brings back what came of it. Connections do not outlive a pause of all
   * machines: who waits for an answer then gets `broken`.
   */
  ask<T>(serve: () => Promise<T>, broken: () => Error): Promise<T> {
    return this.askAt(this.time.nowMs + this.faults.hopMs(), serve, broken);
  }

  /** The same; the server acts in the order in which it was asked under this key. */
  askInOrder<T>(key: string, serve: () => Promise<T>, broken: () => Error): Promise<T> {
    return this.askAt(this.lane(key).dueMs(this.faults.hopMs()), serve, broken);
  }

  /** Lets something arrive in the process, in the order of these calls. */
  tell(lane: Lane, arrive: () => void): void {
    this.process.laterAt(lane.dueMs(this.faults.hopMs()), arrive);
  }

  private askAt<T>(dueMs: number, serve: () => Promise<T>, broken: () => Error): Promise<T> {
    const { time } = this;
    const { jumps } = time;
    return new Promise((resolve, reject) => {
      const answer = (settle: () => void) => {
        this.process.later(this.faults.hopMs(), () => {
          if (time.jumps === jumps) settle();
          else reject(broken());
        });
      };
      time.scheduleAt(dueMs, () => {
        if (time.jumps !== jumps) return answer(() => {});
        serve().then(
          (value) => answer(() => resolve(value)),
          (error) => answer(() => reject(error)),
        );
      });
    });
  }

  private lane(key: string): Lane {
    let lane = this.lanes.get(key);
    if (!lane) {
      lane = new Lane(this.time);
      this.lanes.set(key, lane);
    }
    return lane;
  }
}
