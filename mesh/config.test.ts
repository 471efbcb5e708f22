import { describe, expect, it } from "vitest";
import { z } from "zod";
import { ConfigError, checkConfigs, defineConfig, parseConfig } from "./config.ts";

const schema = defineConfig({
  port: {
    env: "PARLEY_TEST_PORT",
    schema: z.coerce.number().int().min(0).max(65_535),
    default: "8080",
    unit: "TCP port",
    secret: false,
    description: "Where to listen.",
  },
  key: {
    env: "PARLEY_TEST_KEY",
    schema: z.string().min(8),
    default: "long enough",
    unit: "",
    secret: true,
    description: "A key.",
  },
});

describe("parseConfig", () => {
  it("takes defaults where nothing is set, and parses what is", () => {
    expect(parseConfig(schema, {})).toEqual({ port: 8080, key: "long enough" });
    expect(parseConfig(schema, { PARLEY_TEST_PORT: "81" }).port).toBe(81);
  });

  it("names every bad value at once, and shows no secret", () => {
    const parse = () =>
      parseConfig(schema, { PARLEY_TEST_PORT: "eighty", PARLEY_TEST_KEY: "short" });
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(/PARLEY_TEST_PORT="eighty".*\n.*PARLEY_TEST_KEY=\(secret\)/s);
    expect(parse).not.toThrow(/short/);
  });
});

describe("checkConfigs", () => {
  it("names the bad values of all schemas at once", () => {
    const other = defineConfig({ host: { ...schema.key, env: "PARLEY_TEST_HOST", secret: false } });
    const check = (environment: Record<string, string>) => () =>
      checkConfigs([schema, other], environment);
    expect(check({ PARLEY_TEST_PORT: "81" })).not.toThrow();
    expect(check({ PARLEY_TEST_PORT: "eighty", PARLEY_TEST_HOST: "" })).toThrow(ConfigError);
    expect(check({ PARLEY_TEST_PORT: "eighty", PARLEY_TEST_HOST: "" })).toThrow(
      /PARLEY_TEST_PORT="eighty".*\n.*PARLEY_TEST_HOST=""/s,
    );
  });
});
