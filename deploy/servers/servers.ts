import { join } from "node:path";
import { type Cassandra, startCassandra } from "./cassandra.ts";
import { type Consul, startConsul } from "./consul.ts";
import { type Nats, type NatsSync, startNats } from "./nats.ts";
import { type Postgres, startPostgres } from "./postgres.ts";

/** What Parley runs on, started. */
export interface Servers {
  nats: Nats;
  consul: Consul;
  cassandra: Cassandra;
  postgres: Postgres;
  /** The settings that make Parley use them. */
  environment: Record<string, string>;
  stop(): Promise<void>;
}

/** Where clients reach them. */
export interface ServerPorts {
  nats: number;
  consul: number;
  cassandra: number;
  postgres: number;
}

/** How they are started. */
export interface ServersOptions {
  /** Each has a folder of its own in it. */
  folder: string;
  natsNodes?: 1 | 3;
  sync?: NatsSync;
  /** 0: a free one. Default: all free. */
  ports?: ServerPorts;
}

const anyPorts: ServerPorts = { nats: 0, consul: 0, cassandra: 0, postgres: 0 };

/** Starts all four at once. @throws the first error, when the others have ended. */
export async function startServers(options: ServersOptions): Promise<Servers> {
  const { folder, natsNodes = 1, sync = "default", ports = anyPorts } = options;
  const place = (name: keyof ServerPorts) => ({ folder: join(folder, name), port: ports[name] });
  const starts = [
    startNats({ ...place("nats"), nodes: natsNodes, sync }),
    startConsul(place("consul")),
    startCassandra(place("cassandra")),
    startPostgres(place("postgres")),
  ] as const;
  const results = await Promise.allSettled(starts);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) {
    await Promise.all(results.map((result) => result.status === "fulfilled" && end(result.value)));
    throw failed.reason;
  }
  const [nats, consul, cassandra, postgres] = await Promise.all(starts);
  return {
    nats,
    consul,
    cassandra,
    postgres,
    environment: {
      PARLEY_NATS_URL: nats.url,
      PARLEY_NATS_MONITOR_URL: nats.nodes.map(({ monitorUrl }) => monitorUrl).join(","),
      PARLEY_CONSUL_URL: consul.url,
      PARLEY_CASSANDRA_ADDRESS: cassandra.address,
      PARLEY_POSTGRES_URL: postgres.url,
    },
    async stop() {
      await Promise.all([nats, consul, cassandra, postgres].map(end));
    },
  };
}

function end(server: Nats | Consul | Cassandra | Postgres): Promise<void> {
  return "nodes" in server ? server.stop() : server.process.stop();
}
