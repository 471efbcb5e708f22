import type { Measured } from "./closed-loop.ts";
import type { CpuProfile } from "./cpu-profile.ts";
import { samplesByPart, topFunctions } from "./cpu-roles.ts";
import { cpuTotal } from "./process-cpu.ts";
import type { Figure } from "./scenario.ts";

/** What the server's main thread took of a core while it was measured. */
export function loadFigure({ serverCpu, seconds }: Measured): Figure {
  const value = (100 * (serverCpu.get("main") ?? 0)) / seconds;
  return { name: "server's main thread", value, unit: "% of a core" };
}

/**
 * CPU per message: of the two processes and the server's threads as the kernel counts them, the
 * main thread divided by the shares that the profile has found.
 */
export function cpuFigures(measured: Measured, profile: CpuProfile): Figure[] {
  const { serverCpu, generatorCpu, counts } = measured;
  const perMessage = (name: string, cpuSeconds: number): Figure => ({
    name: `CPU: ${name}`,
    value: (cpuSeconds * 1e6) / counts.completed,
    unit: "µs/message",
  });
  const mainSeconds = serverCpu.get("main") ?? 0;
  const parts = [...samplesByPart(profile)].filter(([part]) => part !== "idle");
  const busy = parts.reduce((sum, [, samples]) => sum + samples, 0);
  return [
    loadFigure(measured),
    perMessage("load generator", cpuTotal(generatorCpu)),
    perMessage("server", cpuTotal(serverCpu)),
    ...byValue(serverCpu).map(([name, used]) => perMessage(`server, thread ${name}`, used)),
    ...byValue(new Map(parts)).map(([part, samples]) =>
      perMessage(`server, thread main: ${part}`, (mainSeconds * samples) / busy),
    ),
  ];
}

/** The functions that a reader of the run wants to see. */
export function profileNotes(profile: CpuProfile): string[] {
  const total = profile.samples.length;
  const lines = topFunctions(profile, 25).map(
    ([name, samples]) => `${((100 * samples) / total).toFixed(1).padStart(5)} %  ${name}`,
  );
  return [`functions by their own time in the server's main thread:\n${lines.join("\n")}`];
}

function byValue(map: ReadonlyMap<string, number>): [string, number][] {
  return [...map].sort(([, a], [, b]) => b - a);
}
