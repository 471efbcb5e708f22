/** CPU time of processes and their threads, from /proc (Linux; times have a resolution of 10 ms). */
import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";

/** USER_HZ: 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** CPU seconds, user and system, by the names of threads; those of one name are added up. */
export type CpuTimes = ReadonlyMap<string, number>;

/** The CPU seconds that a process' living threads have used. The main thread is called "main". */
export function cpuTimes(pid: number): CpuTimes {
  const times = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const stat = readStat(`/proc/${pid}/task/${thread}/stat`);
    if (!stat) continue;
    const { name, seconds } = stat;
    const key = Number(thread) === pid ? "main" : name;
    times.set(key, (times.get(key) ?? 0) + seconds);
  }
  return times;
}

/** What was used between two readings, by thread name; those that used nothing are left out. */
export function cpuUsed(before: CpuTimes, after: CpuTimes): Map<string, number> {
  const used = [...after].map(([name, seconds]) => [name, seconds - (before.get(name) ?? 0)]);
  return new Map((used as [string, number][]).filter(([, seconds]) => seconds > 0));
}

/** The CPU seconds that all processes of the machine have used since it started. */
export function machineCpuSeconds(): number {
  const busyMs = cpus().map(({ times }) => times.user + times.nice + times.sys + times.irq);
  return busyMs.reduce((sum, ms) => sum + ms, 0) / 1_000;
}

/** All of it. */
export function cpuTotal(used: ReadonlyMap<string, number>): number {
  return [...used.values()].reduce((sum, seconds) => sum + seconds, 0);
}

/**
 * Fields of proc(5)'s stat: 2 is the name in brackets, 14 and 15 are utime and stime. Undefined: the
 * thread has ended since it was listed.
 */
function readStat(path: string): { name: string; seconds: number } | undefined {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
  const nameEnd = text.lastIndexOf(")");
  const rest = text.slice(nameEnd + 2).split(" ");
  return {
    name: text.slice(text.indexOf("(") + 1, nameEnd),
    seconds: (Number(rest[11]) + Number(rest[12])) / ticksPerSecond,
  };
}
