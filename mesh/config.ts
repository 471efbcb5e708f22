/**
 * Configuration from the environment: each role declares a schema, a composition root parses all
 * of it at once, and docs/CONFIG.md is generated from it.
 */
import type { z } from "zod";

/** One setting. */
export interface Setting<Schema extends z.ZodType = z.ZodType> {
  /** The name of the environment variable, "PARLEY_…". */
  env: string;
  /** Parses and checks the text. */
  schema: Schema;
  /** The text that is parsed where the variable is not set. */
  default: string;
  /** What the number counts: "ms", "bytes", "TCP port"; empty for texts. */
  unit: string;
  /** Whether it is kept out of logs and documents. */
  secret: boolean;
  /** One sentence. */
  description: string;
}

/** The settings of one role, by the names that code uses. */
export type ConfigSchema = Readonly<Record<string, Setting>>;

/** What a schema parses to. */
export type ConfigOf<S extends ConfigSchema> = {
  readonly [K in keyof S]: z.output<S[K]["schema"]>;
};

/** Declares a schema; does nothing but keep its type. */
export function defineConfig<const S extends ConfigSchema>(schema: S): S {
  return schema;
}

/** The environment has bad values: one line for each. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/**
 * Parses a role's settings. A malformed value is an error, never the default.
 * @throws ConfigError that names every bad variable, its value (unless secret) and why.
 */
export function parseConfig<S extends ConfigSchema>(
  schema: S,
  environment: Readonly<Record<string, string | undefined>>,
): ConfigOf<S> {
  const values: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, setting] of Object.entries(schema)) {
    const text = environment[setting.env] ?? setting.default;
    const parsed = setting.schema.safeParse(text);
    if (parsed.success) {
      values[name] = parsed.data;
    } else {
      const shown = setting.secret ? "(secret)" : JSON.stringify(text);
      const why = parsed.error.issues.map((issue) => issue.message).join("; ");
      problems.push(`${setting.env}=${shown}: ${why}. ${setting.description}`);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
  return values as ConfigOf<S>;
}

/**
 * Checks the settings of several roles at once, so that nobody mends one variable to hear of the
 * next.
 * @throws ConfigError that names every bad variable of all of them.
 */
export function checkConfigs(
  schemas: Iterable<ConfigSchema>,
  environment: Readonly<Record<string, string | undefined>>,
): void {
  const problems: string[] = [];
  for (const schema of schemas) {
    try {
      parseConfig(schema, environment);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(error.message);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems.join("\n"));
}
