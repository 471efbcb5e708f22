/** Seeds that found something, each with what it found; all of them run with every test run. */
export const foundSeeds: readonly { seed: number; found: string }[] = [];
