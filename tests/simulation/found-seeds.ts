/** Seeds that found something, each with what it found; all of them run with every test run. */
export const foundSeeds: readonly { seed: number; found: string }[] = [
  { seed: 1327, found: "a client took a page of the store alone for the end of the history" },
];
