import type { Violation } from "./invariants.ts";

/** Lines that are shown of a run that went wrong. */
const linesMax = 60;

/** The part of a run's trace that a reader of its violation needs first. */
export function excerpt(trace: readonly string[], { what }: Violation): string[] {
  const names = what.match(/\b(?:g-[a-z0-9]{20}|d-[a-z]+-[a-z]+|d\d+)\b/g) ?? [];
  const [faults = "", ...lines] = trace;
  const about = lines.filter((line) => {
    return names.some((name) => line.includes(name)) || !/ gets | knows that |log: /.test(line);
  });
  return [faults, ...(about.length > linesMax ? ["…"] : []), ...about.slice(-linesMax)];
}
