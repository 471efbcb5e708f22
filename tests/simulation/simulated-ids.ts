import { Code, RpcError, toRpcError } from "../../mesh/errors.ts";
import { IdSource, type ReservedIds } from "../../mesh/id-source.ts";
import { SnowflakeGenerator } from "../../services/idgen/snowflake.ts";
import type { RunFaults } from "./faults.ts";
import type { Random } from "./random.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** How far the clocks of IdGen's instances may be apart: less than ids may lead the clock. */
const skewMsMax = 2_000;

/** IdGen: two instances whose clocks differ. */
export class IdGen {
  private readonly instances: { process: SimulatedProcess; generator: SnowflakeGenerator }[] = [];
  private readonly time: VirtualTime;
  private readonly random: Random;
  private readonly faults: RunFaults;

  constructor(time: VirtualTime, random: Random, faults: RunFaults) {
    this.time = time;
    this.random = random;
    this.faults = faults;
    for (const worker of [1, 2]) {
      const process = new SimulatedProcess(`idgen ${worker}`, time);
      process.skewMs = random.between(-skewMsMax, skewMsMax);
      const generator = new SnowflakeGenerator();
      generator.assign(worker, process.clock.nowMs());
      this.instances.push({ process, generator });
    }
  }

  /** What a process takes its ids from. */
  connect(caller: SimulatedProcess): IdSource {
    const reserve = (count: number, greaterThan: bigint) =>
      this.reserve(count, greaterThan, caller);
    return new IdSource({ clock: caller.clock, reserve });
  }

  private reserve(
    count: number,
    greaterThan: bigint,
    caller: SimulatedProcess,
  ): Promise<ReservedIds> {
    const { process, generator } = this.random.pick(this.instances);
    return new Promise((resolve, reject) => {
      this.time.schedule(this.faults.hopMs(), () => {
        let settle: () => void;
        try {
          if (this.faults.calls.strikes("idsFail")) {
            throw new RpcError(Code.UNAVAILABLE, "UNAVAILABLE", "simulated");
          }
          const ranges = generator.reserve(count, greaterThan, process.clock.nowMs());
          settle = () => resolve({ ranges: ranges as ReservedIds["ranges"] });
        } catch (error) {
          settle = () => reject(toRpcError(error, { CLOCK_BEHIND: Code.UNAVAILABLE }));
        }
        caller.later(this.faults.hopMs(), settle);
      });
    });
  }
}
