/** What a scenario measures and gives back. */

/** Every role in one process, or a cluster on the real servers with two processes of each role. */
export const backends = ["embedded", "cluster"] as const;

/** One of {@link backends}. */
export type Backend = (typeof backends)[number];

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
