/** The order of the files of a run. */
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Takes a quarter of the run: begun among the last it would end long after all others. */
const longest = "tests/faults/faults.test.ts";

/** Vitest's order, but what takes longest begins first: Vitest knows sizes, not times. */
export class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLongest = ({ moduleId }: TestSpecification) => moduleId.endsWith(longest);
    return [...sorted.filter(isLongest), ...sorted.filter((file) => !isLongest(file))];
  }
}
