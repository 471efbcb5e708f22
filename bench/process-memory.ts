import { readFileSync } from "node:fs";

/** Resident memory of a process without mapped files, in bytes; from /proc (Linux). */
export function anonymousBytes(pid: number | "self"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)![1]) * 1_024;
}
