/**
 * The composition root of the embedded default: every role in one process, on LMDB, PGlite and
 * an in-process registry, talking gRPC over loopback all the same.
 */

import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { edgeConfig } from "./edge/edge-config.ts";
import { startEdge } from "./edge/start-edge.ts";
import { systemClock } from "./mesh/clock.ts";
import { type ConfigSchema, checkConfigs, parseConfig } from "./mesh/config.ts";
import { dial } from "./mesh/dial.ts";
import { lockFolder } from "./mesh/folder-lock.ts";
import { LocalLeases } from "./mesh/leases-local.ts";
import { untilSignal } from "./mesh/lifecycle.ts";
import { folderConfig, processConfig, startProcess } from "./mesh/process.ts";
import { LocalRegistry } from "./mesh/registry-local.ts";
import { grpcConfig, hostRoles, type Runtime } from "./mesh/runtime.ts";
import { openPglite } from "./mesh/sql-pglite.ts";
import { openLmdbStreams } from "./mesh/streams-lmdb.ts";
import { idgenConfig } from "./services/idgen/idgen-config.ts";
import { startIdGen } from "./services/idgen/start-idgen.ts";
import { messageConfig } from "./services/message/message-config.ts";
import { openPushSource, startMessage, startWorkers } from "./services/message/start-message.ts";
import { openLmdbMessageStore } from "./services/message/store/message-store-lmdb.ts";
import { presenceConfig } from "./services/presence/presence-config.ts";
import { openLmdbPresenceStore } from "./services/presence/presence-store-lmdb.ts";
import { startPresence } from "./services/presence/start-presence.ts";
import { pushConfig } from "./services/push/push-config.ts";
import { pushProviderConfig } from "./services/push/push-provider-config.ts";
import { startPush } from "./services/push/start-push.ts";
import { sessionConfig } from "./services/session/session-config.ts";
import { startSession } from "./services/session/start-session.ts";

/** All settings, by the names of the parts that they belong to. */
export const allConfigs: Readonly<Record<string, ConfigSchema>> = {
  "Every process": processConfig,
  "What keeps its data in a folder": folderConfig,
  "What serves gRPC": grpcConfig,
  Edge: edgeConfig,
  Message: messageConfig,
  Presence: presenceConfig,
  Session: sessionConfig,
  IdGen: idgenConfig,
  Push: { ...pushConfig, ...pushProviderConfig },
};

/** Runs until a signal. @returns the exit code. @throws ConfigError, FolderLocked, StoreFormatDiffers */
export async function run(environment: Runtime["environment"]): Promise<number> {
  checkConfigs(Object.values(allConfigs), environment);
  const config = parseConfig(folderConfig, environment);
  await using stack = new AsyncDisposableStack();
  stack.adopt(lockFolder(config.dataDir), (lock) => lock.release());
  const inFolder = (name: string) => join(config.dataDir, name);
  const clock = systemClock;
  const self = await startProcess(parseConfig(processConfig, environment));
  stack.defer(() => self.close());
  const { log, metrics } = self;

  const streams = await openLmdbStreams({ path: inFolder("streams"), clock, log: log("streams") });
  stack.defer(() => streams.close());
  const messageStore = await openLmdbMessageStore({ path: inFolder("messages"), clock });
  stack.defer(() => messageStore.close());
  const presenceStore = await openLmdbPresenceStore({ path: inFolder("presence") });
  stack.defer(() => presenceStore.close());
  const sql = await openPglite(inFolder("sql"));
  stack.defer(() => sql.close());
  const leases = await LocalLeases.open(clock, inFolder("leases.json"));

  const registry = new LocalRegistry();
  const meshSecret = randomBytes(32).toString("base64url");
  const mesh = dial({ registry, meshSecret, clock, log: log("mesh"), metrics });
  stack.defer(() => mesh.close());
  const metadata = { metrics_url: self.metricsUrl };
  const base = { environment, clock, log, metrics, registry };
  const runtime = { ...base, mesh, meshSecret, metadata };

  const roles = await hostRoles(
    runtime,
    [
      await startIdGen(runtime, leases),
      await startSession(runtime, streams, sql),
      startMessage(runtime, streams, messageStore, sql),
      await startPresence(runtime, streams, presenceStore),
    ],
    "127.0.0.1",
    parseConfig(grpcConfig, environment).port,
  );
  stack.defer(() => roles.stop());
  const workers = await startWorkers(runtime, streams, messageStore, sql);
  stack.defer(() => workers.stop());
  const push = await startPush(runtime, openPushSource(runtime, streams, messageStore));
  stack.defer(() => push.stop());
  const edge = await startEdge(runtime, streams);
  stack.defer(() => edge.stop());

  self.isReady = true;
  console.log(`Parley is ready: ${edge.url} (WebSocket at /ws)
  data     ${config.dataDir}
  gRPC     ${roles.address}
  metrics  ${self.metricsUrl}
To talk: npm run --silent parley -- chat --url ${edge.url}`);
  log("run").info({ event: "ready", url: edge.url, metrics: self.metricsUrl });
  const signal = await untilSignal();
  self.isReady = false;
  log("run").info({ event: "draining", signal });
  return 0;
}
