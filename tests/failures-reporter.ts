/** Says at the very end of a run what failed, in few lines: of a long log the end is read first. */
import type { Reporter, TestCase, TestModule, TestSuite } from "vitest/node";

/** What is named; where more fails there is one cause. */
const namedMax = 20;
/** Of an error and of what caused it, characters each. */
const errorCharsMax = 1_000;

/** An error as a test's result has it. */
interface TestError {
  message: string;
  cause?: unknown;
}

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

  onTestRunEnd(_modules: readonly TestModule[], errors: readonly TestError[]): void {
    if (errors.length > 0) this.addLines("outside any test", errors);
    if (this.lines.length === 0) return;
    const named = this.lines.slice(0, namedMax);
    if (named.length < this.lines.length) named.push(`… ${this.lines.length} in all`);
    console.log(`What failed, the first to end first:\n${named.join("\n")}`);
  }

  private add(
    { module }: { module: TestModule },
    name: string,
    errors: readonly TestError[] = [],
  ): void {
    this.addLines(`${module.project.name} ${module.relativeModuleId} > ${name}`, errors);
  }

  private addLines(where: string, errors: readonly TestError[]): void {
    const { message = "", cause } = errors[0] ?? {};
    const causes = cause ? [(cause as TestError).message ?? String(cause)] : [];
    const lines = [message, ...causes].flatMap((text) => text.slice(0, errorCharsMax).split("\n"));
    this.lines.push([where, ...lines.map((line) => `    ${line}`)].join("\n"));
  }
}
