import type { Measured } from "./closed-loop.ts";
import type { CpuProfile } from "./cpu-profile.ts";
import { samplesByPart, topFunctions } from "./cpu-roles.ts";
import { cpuTotal } from "./process-cpu.ts";
import type { Figure } from "./scenario.ts";

/** What the server took of a core while it was measured: its main thread, or all of a cluster. */
export function loadFigure({ serverCpu, seconds }: Measured): Figure {
  const main = serverCpu.get(mainThread);
  const value = (100 * (main ?? cpuTotal(serverCpu))) / seconds;
  return { name: main ? "server's main thread" : "server", value, unit: "% of a core" };
}

const mainThread = "thread main";

/** Without what goes on anyway: what took so much of the same time when there was nothing to do. */
export function aboveIdle(measured: Measured, idle: Measured): Measured {
  const scale = measured.seconds / idle.seconds;
  const above = (used: ReadonlyMap<string, number>, before: ReadonlyMap<string, number>) =>
    new Map(
      Array.from(used, ([name, cpuSeconds]) => {
        const idleSeconds = (before.get(name) ?? 0) * scale;
        return [name, Math.max(0, cpuSeconds - idleSeconds)] as const;
      }),
    );
  return {
    ...measured,
    serverCpu: above(measured.serverCpu, idle.serverCpu),
    generatorCpu: above(measured.generatorCpu, idle.generatorCpu),
  };
}

/** What CPU time is divided by. */
export interface CpuPer {
  count: number;
  /** "µs/message". */
  unit: string;
}

/**
 * CPU per message, or whatever else there is: of the generator and the server's parts as the kernel counts them, the main
 * thread of a single process divided by the shares that its profile has found.
 */
export function cpuFigures(
  measured: Measured,
  profile: CpuProfile | undefined,
  { count, unit }: CpuPer = { count: measured.counts.completed, unit: "µs/message" },
): Figure[] {
  const { serverCpu, generatorCpu } = measured;
  const each = (name: string, cpuSeconds: number): Figure => ({
    name: `CPU: ${name}`,
    value: (cpuSeconds * 1e6) / count,
    unit,
  });
  const mainSeconds = serverCpu.get(mainThread) ?? 0;
  const parts = [...(profile ? samplesByPart(profile) : [])].filter(([part]) => part !== "idle");
  const busy = parts.reduce((sum, [, samples]) => sum + samples, 0);
  return [
    loadFigure(measured),
    each("load generator", cpuTotal(generatorCpu)),
    each("server", cpuTotal(serverCpu)),
    ...byValue(serverCpu).map(([name, used]) => each(`server, ${name}`, used)),
    ...byValue(new Map(parts)).map(([part, samples]) =>
      each(`server, ${mainThread}: ${part}`, (mainSeconds * samples) / busy),
    ),
  ];
}

/** The functions that a reader of the run wants to see. */
export function profileNotes(profile: CpuProfile | undefined): string[] {
  if (!profile) return [];
  const total = profile.samples.length;
  const lines = topFunctions(profile, 25).map(
    ([name, samples]) => `${((100 * samples) / total).toFixed(1).padStart(5)} %  ${name}`,
  );
  return [`functions by their own time in the server's main thread:\n${lines.join("\n")}`];
}

function byValue(map: ReadonlyMap<string, number>): [string, number][] {
  return [...map].sort(([, a], [, b]) => b - a);
}
