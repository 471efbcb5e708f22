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

/**
 * CPU per message: of the generator and the server's parts as the kernel counts them, the main
 * thread of a single process divided by the shares that its profile has found.
 */
export function cpuFigures(measured: Measured, profile: CpuProfile | undefined): Figure[] {
  const { serverCpu, generatorCpu, counts } = measured;
  const perMessage = (name: string, cpuSeconds: number): Figure => ({
    name: `CPU: ${name}`,
    value: (cpuSeconds * 1e6) / counts.completed,
    unit: "µs/message",
  });
  const mainSeconds = serverCpu.get(mainThread) ?? 0;
  const parts = [...(profile ? samplesByPart(profile) : [])].filter(([part]) => part !== "idle");
  const busy = parts.reduce((sum, [, samples]) => sum + samples, 0);
  return [
    loadFigure(measured),
    perMessage("load generator", cpuTotal(generatorCpu)),
    perMessage("server", cpuTotal(serverCpu)),
    ...byValue(serverCpu).map(([name, used]) => perMessage(`server, ${name}`, used)),
    ...byValue(new Map(parts)).map(([part, samples]) =>
      perMessage(`server, ${mainThread}: ${part}`, (mainSeconds * samples) / busy),
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
