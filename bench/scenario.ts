/** What a scenario measures and gives back. */
import type { Backend } from "./load-server.ts";

/** One measured value. */
export interface Figure {
  /** What was measured: "acknowledgement, p50". */
  name: string;
  value: number;
  /** "ms", "messages/s", "bytes", "µs/message". */
  unit: string;
  /** What it should be, where there is an aim: "at most 2". */
  aim?: string;
}

/** How a scenario is run. */
export interface ScenarioOptions {
  /** Shorter and smaller: to see that it works, not for figures to quote. */
  quick: boolean;
  backend: Backend;
}

/** What a scenario leaves behind. */
export interface ScenarioResult {
  figures: Figure[];
  /** Texts for the reader of the run: profiles, what was found. */
  notes: string[];
}

/** A measurement. It ends what it starts, also when it fails. */
export type Scenario = (options: ScenarioOptions) => Promise<ScenarioResult>;
