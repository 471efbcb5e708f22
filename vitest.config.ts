import { defineConfig } from "vitest/config";
import { FailuresReporter } from "./tests/failures-reporter.ts";
import { LongFirst } from "./tests/long-first.ts";

/** Tests that need Consul, NATS, Cassandra and PostgreSQL: a run of others does not start them. */
const onServers = [
  "**/*-{nats,consul,cassandra,postgres}*.test.ts",
  "tests/{cluster,faults}/**/*.test.ts",
];
/** Tests that need a cluster on them, and leave it whole. */
const onCluster = ["tests/cluster/{balancer,role-alone}.test.ts"];
/** Tests of Parley as a whole: in one process, and once more on the cluster. */
const onBoth = ["tests/{e2e,model}/**/*.test.ts", "tests/{chat,sdk}.test.ts"];
/** What those have about the one process itself. */
const onOneProcess = ["tests/e2e/{assigned-edge,kill,run}.test.ts"];
/** Tests of what is in a database: on PGlite, and once more on PostgreSQL. */
const onBothDatabases = ["services/session/*.test.ts"];
const never = ["node_modules/**", "dist/**", "data/**"];

export default defineConfig({
  test: {
    pool: "forks",
    reporters: ["default", new FailuresReporter()],
    // Two cores are enough for everything, and servers under test want some of them.
    maxWorkers: 2,
    sequence: { sequencer: LongFirst },
    testTimeout: 20_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "embedded",
          include: ["**/*.test.ts"],
          exclude: [...never, ...onServers],
        },
      },
      {
        extends: true,
        test: {
          name: "servers",
          include: [...onServers, ...onBothDatabases],
          exclude: [...never, ...onCluster],
          globalSetup: "deploy/servers/vitest-setup.ts",
          provide: { sql: "postgres" },
        },
      },
      {
        extends: true,
        test: {
          name: "cluster",
          include: [...onCluster, ...onBoth],
          exclude: [...never, ...onOneProcess],
          globalSetup: ["deploy/servers/vitest-setup.ts", "tests/cluster/vitest-setup.ts"],
        },
      },
    ],
  },
});
