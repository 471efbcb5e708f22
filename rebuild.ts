/** `parley rebuild`: what messages are found by, made anew from the messages in the store. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { systemClock as clock } from "./mesh/clock.ts";
import { parseConfig } from "./mesh/config.ts";
import { lockFolder } from "./mesh/folder-lock.ts";
import { createLogger } from "./mesh/logger.ts";
import { folderConfig } from "./mesh/process.ts";
import type { Sql } from "./mesh/sql.ts";
import { openPglite } from "./mesh/sql-pglite.ts";
import { openPostgres } from "./mesh/sql-postgres.ts";
import { cassandraConfig, cassandraOptions, serversConfig } from "./servers-config.ts";
import { SqlSearchIndex } from "./services/message/search/search-index-sql.ts";
import type { MessageStore } from "./services/message/store/message-store.ts";
import { openCassandraMessageStore } from "./services/message/store/message-store-cassandra.ts";
import { openLmdbMessageStore } from "./services/message/store/message-store-lmdb.ts";
import { rebuildAll, rebuildSearch, rebuildStore } from "./services/message/workers/rebuild.ts";

/** What is asked for can't be done; the message says why. */
export class RebuildInputError extends Error {
  override readonly name = "RebuildInputError";
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Opens what a rebuild works on, to be closed with the stack. */
interface Sources {
  store(): Promise<MessageStore>;
  sql(): Promise<Sql>;
}

/** Between two lines of progress. */
const progressMs = 1_000;

/**
 * Rebuilds `search`, the index of texts, or `store`, the store's own tables beside the messages; of
 * all channels or of one. On the servers, while everything runs; or with `--embedded` in the data
 * folder, which nobody else may be using then. May be broken off and begun again.
 * @returns 0; 1 where there is no such channel.
 * @throws RebuildInputError, ConfigError, FolderLocked, StoreFormatDiffers, StoreUnavailable,
 *   SqlUnavailable
 */
export async function rebuild(args: string[], environment: Environment): Promise<number> {
  const { what, channelId, embedded } = readArgs(args);
  await using stack = new AsyncDisposableStack();
  const sources = (embedded ? inFolder : onServers)(environment, stack);
  const store = await sources.store();
  const step =
    what === "store" ? rebuildStore(store) : rebuildSearch(new SqlSearchIndex(await sources.sql()));
  let done = { channels: 0, messages: 0 };
  let toldMs = clock.monotonicMs();
  for await (done of rebuildAll(store, step, channelId)) {
    if (clock.monotonicMs() - toldMs < progressMs) continue;
    toldMs = clock.monotonicMs();
    console.log(`${done.channels} channels, ${done.messages} messages…`);
  }
  console.log(`${what} rebuilt: ${done.channels} channels, ${done.messages} messages`);
  return channelId !== "" && done.channels === 0 ? 1 : 0;
}

function readArgs(args: string[]): { what: string; channelId: string; embedded: boolean } {
  const options = {
    channel: { type: "string", default: "" },
    embedded: { type: "boolean", default: false },
  } as const;
  try {
    const { positionals, values } = parseArgs({ args, options, allowPositionals: true });
    const [what = ""] = positionals;
    if (positionals.length === 1 && (what === "search" || what === "store")) {
      return { what, channelId: values.channel, embedded: values.embedded };
    }
  } catch (error) {
    throw new RebuildInputError((error as Error).message);
  }
  throw new RebuildInputError("say what to rebuild: search or store");
}

function inFolder(environment: Environment, stack: AsyncDisposableStack): Sources {
  const { dataDir } = parseConfig(folderConfig, environment);
  stack.adopt(lockFolder(dataDir), (lock) => lock.release());
  return {
    store: async () =>
      closed(await openLmdbMessageStore({ path: join(dataDir, "messages"), clock }), stack),
    sql: async () => closed(await openPglite(join(dataDir, "sql")), stack),
  };
}

function onServers(environment: Environment, stack: AsyncDisposableStack): Sources {
  const { postgresUrl } = serversConfig;
  const config = parseConfig({ ...cassandraConfig, postgresUrl }, environment);
  const log = (role: string) => createLogger(role, "warn");
  const options = { ...cassandraOptions(config), clock, logger: log("cassandra") };
  return {
    store: async () => closed(await openCassandraMessageStore(options), stack),
    sql: async () =>
      closed(await openPostgres({ url: config.postgresUrl, clock, log: log("sql") }), stack),
  };
}

function closed<T extends { close(): Promise<void> }>(part: T, stack: AsyncDisposableStack): T {
  return stack.adopt(part, (opened) => opened.close());
}
