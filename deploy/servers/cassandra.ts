import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts, isListening } from "./ports.ts";
import { serverPrograms } from "./provision.ts";
import { type ServerProcess, startServer } from "./server-process.ts";

/** A running Cassandra. */
export interface Cassandra {
  /** "127.0.0.1:9042" */
  readonly address: string;
  readonly process: ServerProcess;
  /** Starts it again after it has ended, on its folder and port. */
  restart(): Promise<void>;
}

/** 10 s on an idle machine, 25 s on a busy one. */
const readyMsMax = 180_000;

/** Starts a cluster of one node with a heap of 512 MB. */
export async function startCassandra(options: {
  folder: string;
  port: number;
  /** Further lines of its configuration. */
  settings?: string;
}): Promise<Cassandra> {
  const { folder, settings = "" } = options;
  const [free, storagePort] = await freePorts(2);
  const port = options.port || free!;
  mkdirSync(folder, { recursive: true });
  const configPath = join(folder, "cassandra.yaml");
  writeFileSync(configPath, config(folder, port, storagePort!) + settings);
  const logbackPath = join(folder, "logback.xml");
  writeFileSync(logbackPath, logback);
  const start = () =>
    startServer({
      name: "cassandra",
      command: "java",
      args: [
        ...[
          "-Xms512m",
          "-Xmx512m",
          "-XX:+UseG1GC",
          "-XX:TieredStopAtLevel=1",
          "-Djdk.attach.allowAttachSelf=true",
        ],
        ...exportedPackages.map((name) => `--add-exports=${name}=ALL-UNNAMED`),
        ...openedPackages.map((name) => `--add-opens=${name}=ALL-UNNAMED`),
        `-Dcassandra.config=file://${configPath}`,
        `-Dcassandra.storagedir=${folder}`,
        `-Dlogback.configurationFile=${logbackPath}`,
        ...soloProperties.map((property) => `-Dcassandra.${property}`),
        ...["-cp", `${join(serverPrograms().cassandra, "lib")}/*`],
        "org.apache.cassandra.service.CassandraDaemon",
      ],
      folder,
      isReady: () => isListening(port),
      readyMsMax,
    });
  let process = await start();
  return {
    address: `127.0.0.1:${port}`,
    get process() {
      return process;
    },
    async restart() {
      process = await start();
    },
  };
}

/** There is no other node to wait for. */
const soloProperties = [
  "foreground=yes",
  "skip_wait_for_gossip_to_settle=0",
  "ring_delay_ms=1",
  "initial_token=0",
  "superuser_setup_delay_ms=0",
];

/** What Cassandra 5.0 uses of Java 17 that is not public (its conf/jvm17-server.options). */
const exportedPackages = [
  "java.base/jdk.internal.misc",
  "java.base/jdk.internal.ref",
  "java.base/sun.nio.ch",
  "java.management.rmi/com.sun.jmx.remote.internal.rmi",
  "java.rmi/sun.rmi.registry",
  "java.rmi/sun.rmi.server",
  "java.rmi/sun.rmi.transport.tcp",
  "java.sql/java.sql",
];

const openedPackages = [
  ...[
    ...["java.io", "java.lang", "java.lang.module", "java.lang.reflect", "java.nio", "java.util"],
    ...["java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.loader"],
    ...["jdk.internal.math", "jdk.internal.module", "jdk.internal.ref", "jdk.internal.reflect"],
    ...["jdk.internal.util.jar", "sun.nio.ch"],
  ].map((name) => `java.base/${name}`),
  "jdk.management/com.sun.management.internal",
];

function config(folder: string, port: number, storagePort: number): string {
  return `cluster_name: parley
num_tokens: 1
allocate_tokens_for_local_replication_factor: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "127.0.0.1:${storagePort}"
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
native_transport_port: ${port}
storage_port: ${storagePort}
commitlog_sync: group
commitlog_sync_group_window: 10ms
auto_snapshot: false
memtable_heap_space: 64MiB
memtable_offheap_space: 64MiB
file_cache_size: 32MiB
data_file_directories: ["${join(folder, "data")}"]
commitlog_directory: "${join(folder, "commitlog")}"
cdc_raw_directory: "${join(folder, "cdc")}"
saved_caches_directory: "${join(folder, "caches")}"
hints_directory: "${join(folder, "hints")}"
`;
}

const logback = `<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date %-5level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="OUT"/></root>
</configuration>
`;
