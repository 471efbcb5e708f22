/** Says at the very end of a run what failed, in few lines: of a long log the end is read first. */
import type { Reporter, TestCase, TestModule, TestSuite } from "vitest/node";

/** What is named; where more fails there is one cause. */
const namedMax = 20;

/** Beside the reporter that tells of everything. */
export class FailuresReporter implements Reporter {
  private readonly lines: string[] = [];

  onTestCaseResult(test: TestCase): void {
    if (test.result().state === "failed") this.add(test, test.fullName, test.result().errors);
  }

  onTestSuiteResult(suite: TestSuite): void {
    if (suite.errors().length > 0) this.add(suite, suite.fullName, suite.errors());
  }

  onTestModuleEnd(module: TestModule): void {
    if (module.errors().length > 0) this.add({ module }, "its loading", module.errors());
  }

  onTestRunEnd(): void {
    if (this.lines.length === 0) return;
    const named = this.lines.slice(0, namedMax);
    if (named.length < this.lines.length) named.push(`… ${this.lines.length} in all`);
    console.log(`What failed, the first to end first:\n${named.join("\n")}`);
  }

  private add(
    { module }: { module: TestModule },
    name: string,
    errors: readonly { message: string }[] = [],
  ): void {
    const [error = ""] = (errors[0]?.message ?? "").split("\n", 1);
    this.lines.push(
      `${module.project.name} ${module.relativeModuleId} > ${name}\n    ${error.slice(0, 200)}`,
    );
  }
}
