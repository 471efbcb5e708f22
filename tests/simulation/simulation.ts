/** Runs one seed from the beginning to the checks at the end. */
import { stayConnected } from "./device-connection.ts";
import { checkEnd } from "./end-checks.ts";
import type { WorldFault } from "./faults.ts";
import type { Violation } from "./invariants.ts";
import { forgetEarly } from "./parts.ts";
import { type RunOptions, World } from "./world.ts";

/** How long users are active, in virtual time, before faults stop in any case. */
const activeMsMax = 5 * 60_000;
/** How long everything may take to settle then. */
const settleMsMax = 10 * 60_000;
/** Events of a run: more than twice as many as the liveliest of thousands of seeds has. */
const eventsMax = 60_000;
/** In this time the tails of all inboxes have been compared. */
const tailsMs = 35_000;
/** A client's ids may be used for 29 days, longer than a run may last. */
const pausedHoursMax = 28 * 24;
const hourMs = 3_600_000;

forgetEarly();

/** What became of a run. */
export interface Run {
  seed: number;
  violation: Violation | undefined;
  /** Events that happened. */
  events: number;
  /** Items that the logs stored. */
  items: number;
}

/** Runs a seed. */
export async function simulate(seed: number, options: RunOptions = {}): Promise<Run> {
  // Errors are part of the game here; where they come from is not asked.
  Error.stackTraceLimit = 0;
  const world = new World(seed, options);
  const { time, random, faults, cluster, store } = world;
  const isBroken = () => {
    if (time.count > eventsMax) world.blame("progress", `${eventsMax} events do not suffice`);
    return world.violation !== undefined || time.count > eventsMax;
  };
  let pausedHours = 0;
  let activeMs = activeMsMax;
  for (const [i, device] of world.devices.entries()) {
    void stayConnected(device);
    void world.workloads[i]!.run(random.between(5, 40));
  }
  strike("crash", () => cluster.crashOne());
  strike("freeze", () => cluster.freezeOne());
  strike("clockStep", () => cluster.stepClockOfOne());
  strike("storeOutage", () => {
    store.awayUntilMs = time.nowMs + random.unit() * 10_000;
    world.note(`store is away until ${store.awayUntilMs.toFixed(0)}`);
  });
  strike("pause", () => {
    const hours = random.pick([2, 30, 200]) * random.unit();
    if (pausedHours + hours > pausedHoursMax) return;
    pausedHours += hours;
    world.note(`${hours.toFixed(1)} hours pass`);
    activeMs += hours * hourMs;
    time.jump(hours * hourMs);
  });

  const isDone = () => world.workloads.every((workload) => workload.isDone);
  await time.run(Infinity, () => isBroken() || isDone() || time.nowMs > activeMs);
  const { storeFalters } = faults;
  faults.stop();
  world.isSettling = true;
  store.awayUntilMs = 0;
  world.note("faults stop");
  const endMs = time.nowMs + settleMsMax;
  await time.run(endMs, () => isBroken() || world.isQuiet);
  if (storeFalters) for (const device of world.devices) device.listAgain();
  await time.run(time.nowMs + tailsMs, isBroken);
  await time.run(endMs, () => isBroken() || world.isQuiet);
  if (!isBroken()) await checkEnd(world);
  const items = [...world.truth.channels.values()].reduce(
    (sum, { items }) => sum + items.length,
    0,
  );
  return { seed, violation: world.violation, events: time.count, items };

  /** Lets a fault of the world happen again and again. */
  function strike(fault: WorldFault, happen: () => void): void {
    const untilMs = faults.untilMs(fault);
    if (untilMs === undefined) return;
    time.schedule(untilMs, () => {
      if (world.isSettling) return;
      happen();
      strike(fault, happen);
    });
  }
}
