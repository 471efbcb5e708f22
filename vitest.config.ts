import { defineConfig } from "vitest/config";

/** Tests that need Consul, NATS, Cassandra and PostgreSQL: a run of others does not start them. */
const onServers = [
  "**/*-{nats,consul,cassandra,postgres}*.test.ts",
  "tests/{cluster,faults}/**/*.test.ts",
];
const never = ["node_modules/**", "dist/**", "data/**"];

export default defineConfig({
  test: {
    pool: "forks",
    // Two cores are enough for everything, and servers under test want some of them.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: { name: "embedded", include: ["**/*.test.ts"], exclude: [...never, ...onServers] },
      },
      {
        extends: true,
        test: {
          name: "servers",
          include: onServers,
          exclude: never,
          globalSetup: "deploy/servers/vitest-setup.ts",
        },
      },
    ],
  },
});
