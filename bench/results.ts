import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeCommit, type Machine } from "./machine.ts";
import type { Backend, Figure, ScenarioResult } from "./scenario.ts";

const folder = join(import.meta.dirname, "results");

/** A scenario's file in bench/results. */
export interface StoredResult {
  scenario: string;
  time: string;
  commit: string;
  /** Whether it was a short run, whose figures are not to be quoted. */
  quick: boolean;
  machine: Machine;
  figures: Figure[];
  notes: string[];
}

/** What a scenario's figures are kept under: "latency", "latency-cluster". */
export function resultName(scenario: string, backend: Backend): string {
  return backend === "embedded" ? scenario : `${scenario}-${backend}`;
}

/** Writes what a scenario has measured. */
export function storeResult(
  run: Pick<StoredResult, "scenario" | "quick" | "machine">,
  result: ScenarioResult,
): void {
  const stored: StoredResult = {
    ...run,
    time: new Date().toISOString(),
    commit: describeCommit(),
    figures: result.figures.map((figure) => ({ ...figure, value: round(figure.value) })),
    notes: result.notes,
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(fileOf(run.scenario), `${JSON.stringify(stored, null, 2)}\n`);
}

/** Reads it back. */
export function loadResult(scenario: string): StoredResult {
  return JSON.parse(readFileSync(fileOf(scenario), "utf8"));
}

/** One table for all. */
export function formatTable(results: readonly StoredResult[]): string {
  const rows = results.flatMap(({ scenario, figures }) =>
    figures.map(({ name, value, unit, aim }) => [scenario, name, `${value}`, unit, aim ?? ""]),
  );
  const head = ["scenario", "figure", "value", "unit", "aim"];
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]!.length)));
  const line = (row: string[]) =>
    row
      .map((cell, i) => (i === 2 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join("  ");
  return [head, widths.map((width) => "-".repeat(width)), ...rows]
    .map((row) => line(row).trimEnd())
    .join("\n");
}

/** Three significant digits, and whole numbers as they are. */
function round(value: number): number {
  return Number.isInteger(value) || Math.abs(value) >= 100
    ? Math.round(value)
    : Number(value.toPrecision(3));
}

function fileOf(scenario: string): string {
  return join(folder, `${scenario}.json`);
}
