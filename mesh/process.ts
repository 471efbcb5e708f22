/** What every process has, whatever roles it runs: logs, metrics and a word on its health. */
import { z } from "zod";
import { type ConfigOf, defineConfig } from "./config.ts";
import { createLogger, type Logger, logLevels } from "./logger.ts";
import { Metrics, serveMetrics } from "./metrics.ts";

/** Settings of every process. */
export const processConfig = defineConfig({
  logLevel: {
    env: "PARLEY_LOG_LEVEL",
    schema: z.enum(logLevels),
    default: "warn",
    unit: "",
    secret: false,
    description:
      "The least level that is logged, on standard error: debug, info, warn, error, silent.",
  },
  metricsPort: {
    env: "PARLEY_METRICS_PORT",
    schema: z.coerce.number().int().min(0).max(65_535),
    default: "0",
    unit: "TCP port",
    secret: false,
    description: "Serves /metrics and /healthz on 127.0.0.1; 0: any free port, named in the log.",
  },
});

/** Settings of a process that keeps data itself. */
export const folderConfig = defineConfig({
  dataDir: {
    env: "PARLEY_DATA_DIR",
    schema: z.string().min(1),
    default: "./data",
    unit: "",
    secret: false,
    description: "The folder that holds all data; one process at a time uses it.",
  },
});

/** The process around the roles. */
export interface Process {
  /** A logger for a role. */
  log(role: string): Logger;
  readonly metrics: Metrics;
  /** "http://127.0.0.1:41234/metrics" */
  readonly metricsUrl: string;
  /** "http://127.0.0.1:41234/healthz" */
  readonly healthUrl: string;
  /** What /healthz answers. False at first. */
  isReady: boolean;
  /** Serves nothing more. */
  close(): Promise<void>;
}

/** Begins to serve metrics. @throws EADDRINUSE */
export async function startProcess(config: ConfigOf<typeof processConfig>): Promise<Process> {
  const metrics = new Metrics();
  const listen = { host: "127.0.0.1", port: config.metricsPort };
  const server = await serveMetrics(metrics, listen, () => started.isReady);
  const started: Process = {
    log: (role) => createLogger(role, config.logLevel),
    metrics,
    metricsUrl: `http://${listen.host}:${server.port}/metrics`,
    healthUrl: `http://${listen.host}:${server.port}/healthz`,
    isReady: false,
    close: () => server.close(),
  };
  return started;
}
