/** One cluster for all tests that need one, on the servers that this run has started. */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startProcesses } from "../../deploy/cluster.ts";
import { settings } from "../settings.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Undefined in the tests of one process. Its users are everybody's: a test makes its own. */
    cluster?: {
      edgeUrls: readonly string[];
      /** The settings of its processes: with them further ones belong to it. */
      environment: Readonly<Record<string, string | undefined>>;
      /** What its processes log, a line each with its role before it. */
      logFile: string;
    };
  }
}

/** Lines of its log that are shown where a process has ended by itself. */
const shownMax = 200;

let end: (() => Promise<void>) | undefined;

/** Vitest calls it before the first of these tests, when the servers run. */
export async function setup(project: TestProject): Promise<void> {
  const log: string[] = [];
  const folder = mkdtempSync(join(tmpdir(), "parley-"));
  const logFile = join(folder, "log");
  const started = await startProcesses({
    edgePorts: [0, 0],
    environment: {
      ...process.env,
      ...project.getProvidedContext().servers.environment,
      ...settings,
      PARLEY_LOG_LEVEL: "info",
    },
    onLog(line) {
      log.push(line);
      appendFileSync(logFile, `${line}\n`);
      if (log.length > shownMax) log.shift();
    },
  });
  const isSetting = ([name]: [string, unknown]) => name.startsWith("PARLEY_");
  project.provide("cluster", {
    edgeUrls: started.edgeUrls,
    environment: Object.fromEntries(Object.entries(started.environment).filter(isSetting)),
    logFile,
  });
  end = async () => {
    await started.stop();
    rmSync(folder, { recursive: true });
    const ended = started.processes.filter(({ restarts }) => restarts > 0);
    if (ended.length === 0) return;
    const names = ended.map(({ role }) => role).join(", ");
    throw new Error(`ended by themselves: ${names}\n${log.join("\n")}`);
  };
}

/** And this after the last. @throws where one of its processes has ended by itself meanwhile */
export async function teardown(): Promise<void> {
  await end?.();
}
