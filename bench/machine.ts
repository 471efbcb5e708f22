import { execFileSync } from "node:child_process";
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { cpus, release, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parleyFlags } from "../deploy/v8-flags.ts";
import { machineCpuSeconds } from "./process-cpu.ts";

/** What figures depend on besides the code. */
export interface Machine {
  cpu: string;
  cores: number;
  memoryGib: number;
  kernel: string;
  node: string;
  /** Those of the measured server, from package.json. */
  v8Flags: string[];
  /** Of writing 4 KiB and fdatasync where the data folders lie: what "durable" waits for. */
  fdatasyncMedianMs: number;
  /** How busy others kept the cores in the second before the run. */
  busyBeforePercent: number;
}

/** Describes this machine, before the run. */
export async function describeMachine(): Promise<Machine> {
  const all = cpus();
  const before = machineCpuSeconds();
  await sleep(1_000);
  const busyBeforePercent = Math.round(((machineCpuSeconds() - before) * 100) / all.length);
  return {
    cpu: all[0]?.model ?? "unknown",
    cores: all.length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    v8Flags: parleyFlags(),
    fdatasyncMedianMs: fdatasyncMedianMs(),
    busyBeforePercent,
  };
}

/** The commit that is measured; "+" where files differ from it. */
export function describeCommit(): string {
  const git = (...args: string[]) =>
    execFileSync("git", args, { cwd: import.meta.dirname, encoding: "utf8" }).trim();
  const isChanged = git("status", "--porcelain", "--", "..", ":!results") !== "";
  return git("rev-parse", "--short", "HEAD") + (isChanged ? "+" : "");
}

function fdatasyncMedianMs(): number {
  const folder = mkdtempSync(join(tmpdir(), "parley-bench-"));
  const file = openSync(join(folder, "probe"), "w");
  const page = Buffer.alloc(4_096, 1);
  const times = Array.from({ length: 101 }, (_, i) => {
    const start = performance.now();
    writeSync(file, page, 0, page.length, i * page.length);
    fdatasyncSync(file);
    return performance.now() - start;
  });
  closeSync(file);
  rmSync(folder, { recursive: true });
  const median = times.sort((a, b) => a - b)[50]!;
  return Math.round(median * 1_000) / 1_000;
}
