/** The Message role and its workers, made from a runtime. */
import { IdGenService } from "../../gen/parley/idgen/v1/idgen_service_pb.js";
import { SessionService } from "../../gen/parley/session/v1/session_service_pb.js";
import { followAccounts } from "../../mesh/account-cache.ts";
import { parseConfig } from "../../mesh/config.ts";
import { IdSource } from "../../mesh/id-source.ts";
import type { PushSource } from "../../mesh/push-source.ts";
import { newInstanceId, type Role, type Runtime } from "../../mesh/runtime.ts";
import type { Sql } from "../../mesh/sql.ts";
import type { Streams } from "../../mesh/streams.ts";
import { type StartedWork, shareWork } from "../../mesh/work-share.ts";
import { Blocks } from "./channel/blocks.ts";
import { snapshotAgeMaxMsDefault } from "./channel/channel-writer.ts";
import { messageConfig } from "./message-config.ts";
import { createMessageService, startMessageWorkers } from "./message-service.ts";
import { SqlSearchIndex } from "./search/search-index-sql.ts";
import type { MessageStore } from "./store/message-store.ts";
import { LogPushSource } from "./workers/push-source.ts";

/** How long a text waits to learn whom it mentions. */
const namesTimeoutMs = 500;
/** How long a text waits to learn whether its sender is blocked, where nothing is known yet. */
const blocksTimeoutMs = 1_500;

/** Makes an instance of the Message service. */
export function startMessage(
  runtime: Runtime,
  streams: Streams,
  store: MessageStore,
  sql: Sql,
): Role {
  const { mesh, clock } = runtime;
  const config = parseConfig(messageConfig, runtime.environment);
  const idgen = mesh.client(IdGenService);
  const sessions = mesh.client(SessionService);
  const ids = new IdSource({
    reserve: (count, greaterThan) => idgen.reserveIds({ count, greaterThan }),
    clock,
  });
  const blocks = new Blocks(async (userIds) => {
    const options = { timeoutMs: blocksTimeoutMs };
    const found = await sessions.listBlockedUserIds({ userIds: [...userIds] }, options);
    return new Map(found.blocks.map(({ userId, blockedUserIds }) => [userId, blockedUserIds]));
  }, clock);
  const log = runtime.log("message");
  const served = createMessageService({
    streams,
    store,
    index: new SqlSearchIndex(sql),
    clock,
    logger: log,
    metrics: runtime.metrics,
    inviteSecret: runtime.meshSecret,
    takeIds: (count, greaterThan) => ids.take(count, greaterThan),
    snapshotAgeMaxMs: Math.min(snapshotAgeMaxMsDefault, config.logRetentionMs / 2),
    async lookUpNames(usernames, userId) {
      const options = { identity: { userId, deviceId: "" }, timeoutMs: namesTimeoutMs };
      const { users } = await sessions.listUsers({ usernames: [...usernames] }, options);
      return users;
    },
    blocks,
    async checkContacts(userId, kind, otherUserIds) {
      const request = { userId, kind, otherUserIds: [...otherUserIds] };
      return (await sessions.checkContacts(request)).contacts;
    },
  });
  const following = followAccounts(blocks.cache, { streams, clock, log });
  const stop = () => following.stop();
  return { instanceId: newInstanceId("message"), served, streams, stop };
}

/** Starts the workers behind Message. */
export function startWorkers(
  runtime: Runtime,
  streams: Streams,
  store: MessageStore,
  sql: Sql,
): Promise<StartedWork> {
  const { clock, metrics } = runtime;
  const config = parseConfig(messageConfig, runtime.environment);
  const index = new SqlSearchIndex(sql);
  const parts = { streams, store, index, clock, logger: runtime.log("worker"), metrics };
  return shareWork(runtime, "worker", (isOurs) =>
    startMessageWorkers({ ...parts, isOurs }, config),
  );
}

/** What push learns of channels from their logs, and of their members from the store. */
export function openPushSource(
  { clock, metrics, log }: Runtime,
  streams: Streams,
  store: MessageStore,
): PushSource {
  const { deadLetters } = streams;
  const logger = log("push");
  return new LogPushSource({ log: streams.log, deadLetters, store, clock, logger, metrics });
}
