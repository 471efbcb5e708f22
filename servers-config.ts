import { z } from "zod";
import type { CassandraOptions } from "./mesh/cassandra.ts";
import { type ConfigOf, defineConfig } from "./mesh/config.ts";
import type { NatsStreamsOptions } from "./mesh/streams-nats.ts";

const address = (pattern: RegExp, says: string) => z.string().regex(pattern, says);
const list = (item: RegExp, says: string) =>
  z
    .string()
    .transform((text) => text.split(",").map((part) => part.trim()))
    .pipe(z.array(z.string().regex(item, says)).min(1).max(16));
const number = (min: number, max: number) => z.coerce.number().int().min(min).max(max);

/** Where NATS is, and what is kept in it. */
export const natsConfig = defineConfig({
  natsUrls: {
    env: "PARLEY_NATS_URL",
    schema: list(/^(nats|tls):\/\/.+/, "must be nats://host:port"),
    default: "nats://127.0.0.1:4222",
    unit: "",
    secret: false,
    description:
      "NATS servers with JetStream, separated by commas; tls:// where they must encrypt.",
  },
  natsUser: {
    env: "PARLEY_NATS_USER",
    schema: z.string(),
    default: "",
    unit: "",
    secret: false,
    description: "The user to sign in to NATS as; empty: none.",
  },
  natsPassword: {
    env: "PARLEY_NATS_PASSWORD",
    schema: z.string(),
    default: "",
    unit: "",
    secret: true,
    description: "Its password.",
  },
  natsMonitorUrls: {
    env: "PARLEY_NATS_MONITOR_URL",
    schema: z.union([
      z.literal("").transform(() => []),
      list(/^https?:\/\/.+/, "must be http://host:port"),
    ]),
    default: "",
    unit: "",
    secret: false,
    description:
      "Their monitors, separated by commas: tell what an acknowledgement means; empty: not known.",
  },
  natsReplicas: {
    env: "PARLEY_NATS_REPLICAS",
    schema: number(1, 5),
    default: "1",
    unit: "",
    secret: false,
    description: "Copies of every stream; 3 in production.",
  },
  streamShards: {
    env: "PARLEY_STREAM_SHARDS",
    schema: number(1, 256),
    default: "8",
    unit: "",
    secret: false,
    description: "Into how many streams the logs are split, and the inboxes; never changes.",
  },
  logShardBytesMax: {
    env: "PARLEY_LOG_SHARD_BYTES_MAX",
    schema: number(1024 ** 2, 2 ** 50),
    default: String(4 * 1024 ** 3),
    unit: "bytes",
    secret: false,
    description:
      "What each of the logs' streams holds before it refuses more; fixed when they are made.",
  },
});

/** Where Cassandra is, and what is kept in it. */
export const cassandraConfig = defineConfig({
  cassandraContactPoints: {
    env: "PARLEY_CASSANDRA_ADDRESS",
    schema: list(/^.+:\d+$/, "must be host:port"),
    default: "127.0.0.1:9042",
    unit: "",
    secret: false,
    description: "Some of Cassandra's nodes, separated by commas; the others are found.",
  },
  cassandraUser: {
    env: "PARLEY_CASSANDRA_USER",
    schema: z.string(),
    default: "",
    unit: "",
    secret: false,
    description: "The role to sign in to Cassandra as; empty: none.",
  },
  cassandraPassword: {
    env: "PARLEY_CASSANDRA_PASSWORD",
    schema: z.string(),
    default: "",
    unit: "",
    secret: true,
    description: "Its password.",
  },
  cassandraTls: {
    env: "PARLEY_CASSANDRA_TLS",
    schema: z.enum(["off", "on"]),
    default: "off",
    unit: "",
    secret: false,
    description:
      "Whether Cassandra's nodes are spoken to over TLS, with certificates that are checked.",
  },
  cassandraDataCenter: {
    env: "PARLEY_CASSANDRA_DATA_CENTER",
    schema: z.string().min(1),
    default: "datacenter1",
    unit: "",
    secret: false,
    description: "The data centre whose nodes are asked.",
  },
  cassandraReplicas: {
    env: "PARLEY_CASSANDRA_REPLICAS",
    schema: number(1, 5),
    default: "1",
    unit: "",
    secret: false,
    description: "Copies of each row in it where the keyspace has to be made; 3 in production.",
  },
  cassandraKeyspace: {
    env: "PARLEY_CASSANDRA_KEYSPACE",
    schema: address(/^[a-z][a-z0-9_]{0,47}$/, "must be 1 to 48 of a-z, 0-9 and _"),
    default: "parley",
    unit: "",
    secret: false,
    description: "The keyspace of all tables, made if missing.",
  },
});

/** Where the servers are that a role alone works with, and what is kept in them. */
export const serversConfig = defineConfig({
  consulUrl: {
    env: "PARLEY_CONSUL_URL",
    schema: address(/^https?:\/\/.+/, "must be http://host:port"),
    default: "http://127.0.0.1:8500",
    unit: "",
    secret: false,
    description: "Consul's HTTP API, best of an agent on the same machine.",
  },
  consulToken: {
    env: "PARLEY_CONSUL_TOKEN",
    schema: z.string(),
    default: "",
    unit: "",
    secret: true,
    description: "An ACL token for it; empty: none.",
  },
  ...natsConfig,
  ...cassandraConfig,
  postgresUrl: {
    env: "PARLEY_POSTGRES_URL",
    schema: address(/^postgres(ql)?:\/\/.+/, "must be postgres://user:password@host:port/database"),
    default: "postgres://postgres@127.0.0.1:5432/parley",
    unit: "",
    secret: true,
    description: "The database of accounts; ?sslmode=verify-full where it must encrypt.",
  },
  meshSecret: {
    env: "PARLEY_MESH_SECRET",
    schema: z.string().min(32, "must have at least 32 characters"),
    default: "",
    unit: "",
    secret: true,
    description: "What all processes of one mesh share, and nobody else knows: they trust it.",
  },
  host: {
    env: "PARLEY_HOST",
    schema: z.string().min(1),
    default: "127.0.0.1",
    unit: "",
    secret: false,
    description: "The address of this machine where the others of the mesh reach it.",
  },
});

/** How NATS is reached. */
export function natsOptions(
  config: ConfigOf<typeof natsConfig>,
): Omit<NatsStreamsOptions, "clock" | "log" | "metrics"> {
  const { natsUrls, natsUser, natsPassword, streamShards } = config;
  return {
    urls: natsUrls,
    credentials: {
      ...(natsUser && { user: natsUser, pass: natsPassword }),
      ...(natsUrls.some((url) => url.startsWith("tls:")) && { tls: {} }),
    },
    monitorUrls: config.natsMonitorUrls,
    replicas: config.natsReplicas,
    shards: { log: streamShards, inbox: streamShards },
    logShardBytesMax: config.logShardBytesMax,
  };
}

/** How Cassandra is reached. */
export function cassandraOptions(
  config: ConfigOf<typeof cassandraConfig>,
): Omit<CassandraOptions, "schema" | "clock" | "logger"> {
  return {
    contactPoints: config.cassandraContactPoints,
    localDataCenter: config.cassandraDataCenter,
    keyspace: config.cassandraKeyspace,
    replicas: { [config.cassandraDataCenter]: config.cassandraReplicas },
    ...(config.cassandraUser && {
      credentials: { username: config.cassandraUser, password: config.cassandraPassword },
    }),
    ...(config.cassandraTls === "on" && { tls: { rejectUnauthorized: true } }),
  };
}
