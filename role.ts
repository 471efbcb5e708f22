/**
 * The composition root of one role by itself, on Consul, NATS, Cassandra and PostgreSQL: as many
 * processes of each as wanted, on as many machines.
 */
import { edgeConfig } from "./edge/edge-config.ts";
import { startEdge } from "./edge/start-edge.ts";
import { systemClock as clock } from "./mesh/clock.ts";
import { type ConfigSchema, checkConfigs, parseConfig } from "./mesh/config.ts";
import { ConsulClient } from "./mesh/consul-client.ts";
import { dial } from "./mesh/dial.ts";
import { ConsulLeases } from "./mesh/leases-consul.ts";
import { untilSignal } from "./mesh/lifecycle.ts";
import { processConfig, startProcess } from "./mesh/process.ts";
import { ConsulRegistry } from "./mesh/registry-consul.ts";
import { grpcConfig, hostRoles, type Role, type Runtime } from "./mesh/runtime.ts";
import { openSqlLater } from "./mesh/sql-later.ts";
import { openPostgres } from "./mesh/sql-postgres.ts";
import { openNatsStreams } from "./mesh/streams-nats.ts";
import type { RoleName } from "./roles.ts";
import { cassandraOptions, natsOptions, serversConfig } from "./servers-config.ts";
import { idgenConfig } from "./services/idgen/idgen-config.ts";
import { startIdGen } from "./services/idgen/start-idgen.ts";
import { messageConfig } from "./services/message/message-config.ts";
import { openPushSource, startMessage, startWorkers } from "./services/message/start-message.ts";
import { openCassandraMessageStore } from "./services/message/store/message-store-cassandra.ts";
import { presenceConfig } from "./services/presence/presence-config.ts";
import { openCassandraPresenceStore } from "./services/presence/presence-store-cassandra.ts";
import { startPresence } from "./services/presence/start-presence.ts";
import { pushConfig } from "./services/push/push-config.ts";
import { pushProviderConfig } from "./services/push/push-provider-config.ts";
import { startPush } from "./services/push/start-push.ts";
import { sessionConfig } from "./services/session/session-config.ts";
import { startSession } from "./services/session/start-session.ts";

/** The roles, and the settings that each has besides those of every process. */
export const roleConfigs = {
  edge: edgeConfig,
  message: messageConfig,
  worker: messageConfig,
  push: { ...pushConfig, ...pushProviderConfig },
  presence: presenceConfig,
  session: sessionConfig,
  idgen: idgenConfig,
} satisfies Record<RoleName, ConfigSchema>;

/** Below the deadline of the calls that search, so that they can answer without the index. */
const searchMsMax = 4_000;

/** Runs a role until a signal. @returns the exit code. @throws ConfigError */
export async function runRole(
  name: RoleName,
  environment: Runtime["environment"],
): Promise<number> {
  checkConfigs([processConfig, grpcConfig, serversConfig, roleConfigs[name]], environment);
  const config = parseConfig(serversConfig, environment);
  const grpcPort = parseConfig(grpcConfig, environment).port;
  await using stack = new AsyncDisposableStack();
  const open = <T extends { close(): unknown }>(part: T): T =>
    stack.adopt(part, async () => void (await part.close()));
  const self = open(await startProcess(parseConfig(processConfig, environment)));
  const { log, metrics } = self;
  const consul = new ConsulClient({ url: config.consulUrl, token: config.consulToken, clock });
  const registry = new ConsulRegistry({ consul, clock, log: log("registry") });
  const leases = new ConsulLeases({ consul, clock, log: log("leases") });
  const { meshSecret } = config;
  const mesh = open(dial({ registry, meshSecret, clock, log: log("mesh"), metrics }));
  const metadata = { metrics_url: self.metricsUrl, health_url: self.healthUrl };
  const base = { environment, clock, log, metrics, registry };
  const runtime: Runtime = { ...base, mesh, meshSecret, metadata };
  const cassandra = { ...cassandraOptions(config), clock, logger: log("cassandra") };
  const streams = async () =>
    open(await openNatsStreams({ ...natsOptions(config), clock, log: log("streams"), metrics }));
  const messageStore = async () => open(await openCassandraMessageStore(cassandra));
  const presenceStore = async () => open(await openCassandraPresenceStore(cassandra));
  const sql = async () =>
    open(await openPostgres({ url: config.postgresUrl, clock, log: log("sql") }));
  /** For what Message can do without: searches. */
  const searchSql = async () =>
    open(
      await openSqlLater(
        () =>
          openPostgres({
            url: config.postgresUrl,
            statementTimeoutMs: searchMsMax,
            clock,
            log: log("sql"),
          }),
        log("sql"),
      ),
    );
  const host = async (role: Role) => {
    const hosted = await hostRoles(runtime, [role], config.host, grpcPort);
    return { instanceId: role.instanceId, url: hosted.address, stop: () => hosted.stop() };
  };
  const starts: Record<RoleName, () => Promise<Started>> = {
    edge: async () => startEdge(runtime, await streams()),
    message: async () =>
      host(startMessage(runtime, await streams(), await messageStore(), await searchSql())),
    worker: async () =>
      startWorkers(runtime, await streams(), await messageStore(), await searchSql()),
    push: async () =>
      startPush(runtime, openPushSource(runtime, await streams(), await messageStore())),
    presence: async () => host(startPresence(runtime, await streams(), await presenceStore())),
    session: async () => host(await startSession(runtime, await streams(), await sql())),
    idgen: async () => host(await startIdGen(runtime, leases)),
  };
  const started = await starts[name]();
  stack.defer(() => started.stop());

  self.isReady = true;
  console.log(`Parley's ${started.instanceId} is ready: ${started.url ?? "-"}`);
  const signal = await untilSignal();
  self.isReady = false;
  log(name).info({ event: "draining", signal });
  return 0;
}

interface Started {
  instanceId: string;
  /** Where others reach it, if they do. */
  url?: string;
  stop(): Promise<void>;
}
