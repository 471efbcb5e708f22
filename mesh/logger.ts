/**
 * Logs: one JSON object a line on standard error, an `event` in snake_case, ids spelled as in the
 * contracts. Never message text, tokens or whole requests.
 */
import { destination, pino } from "pino";

/** Writes log lines. `fields.event` names what happened. */
export interface Logger {
  debug(fields: LogFields): void;
  info(fields: LogFields): void;
  warn(fields: LogFields): void;
  error(fields: LogFields): void;
}

/** A line: the event and what it is about. `err` takes an Error. */
export interface LogFields {
  event: string;
  [field: string]: unknown;
}

/** The levels that can be asked for. */
export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;

/** A logger of a role; `role` stands in every line. */
export function createLogger(role: string, level: (typeof logLevels)[number]): Logger {
  return pino(
    { level, base: { role }, timestamp: pino.stdTimeFunctions.isoTime },
    destination({ fd: 2, sync: false }),
  );
}

/** Says nothing: for tests. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
