/**
 * An edge as a process of its own: the edge role over LMDB streams in a new folder, its services
 * elsewhere (stub-services.ts). Told over IPC what to do; says of itself what it uses.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString, writeHeapSnapshot } from "node:v8";
import { runInNewContext } from "node:vm";
import { create, toBinary } from "@bufbuild/protobuf";
import { startEdge } from "../edge/start-edge.ts";
import { InboxEntrySchema } from "../gen/parley/log/v1/log_pb.js";
import { systemClock } from "../mesh/clock.ts";
import { dial } from "../mesh/dial.ts";
import { createLogger } from "../mesh/logger.ts";
import { Metrics } from "../mesh/metrics.ts";
import type { Instance } from "../mesh/registry.ts";
import { LocalRegistry } from "../mesh/registry-local.ts";
import { inboxSubject } from "../mesh/streams.ts";
import { openLmdbStreams } from "../mesh/streams-lmdb.ts";
import { textBytes } from "./load-frames.ts";
import { loadUserId } from "./load-tokens.ts";
import { anonymousBytes } from "./process-memory.ts";

/** What the process is told. */
export type EdgeCommand =
  /** Appends so many entries to the inbox of each of the first `users` users. */
  | { do: "deliver"; users: number; entries: number }
  | { do: "readMemory" }
  /** Collects garbage, all of it. */
  | { do: "collect" }
  | { do: "writeHeapSnapshot"; path: string };

/** What it is started with. */
export interface EdgeStart {
  meshSecret: string;
  /** Where the services are. */
  instances: Instance[];
}

/** What a process uses, in bytes. */
export interface MemoryUse {
  /** Resident, all of it. */
  rss: number;
  /** Of which no file's pages: LMDB's file is mapped, and not the connections'. */
  rssAnonymous: number;
  heapUsed: number;
  heapTotal: number;
  external: number;
}

/** Appends under way at once. */
const appendsMax = 500;
const textBody = { case: "text", value: "x".repeat(textBytes) } as const;

const clock = systemClock;
const folder = mkdtempSync(join(tmpdir(), "parley-edge-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
// The parent has gone.
process.on("disconnect", () => process.exit(0));

const { meshSecret, instances } = JSON.parse(process.argv[2]!) as EdgeStart;
const log = (role: string) => createLogger(role, "warn");
const metrics = new Metrics();
const registry = new LocalRegistry();
for (const instance of instances) await registry.register(instance);
const mesh = dial({ registry, meshSecret, clock, log: log("mesh"), metrics });
const streams = await openLmdbStreams({ path: join(folder, "streams"), clock });
const environment = { PARLEY_EDGE_PORT: "0" };
const base = { environment, clock, log, metrics, registry };
const runtime = { ...base, mesh, meshSecret, metadata: {} };
const { url } = await startEdge(runtime, streams);

process.on("message", async (command: EdgeCommand) => {
  process.send!({ result: await perform(command) });
});
process.send!({ result: url });

async function perform(command: EdgeCommand): Promise<unknown> {
  switch (command.do) {
    case "deliver":
      return deliver(command.users, command.entries);
    case "readMemory":
      return readMemory();
    case "collect":
      setFlagsFromString("--expose-gc");
      return runInNewContext("gc")();
    case "writeHeapSnapshot":
      return writeHeapSnapshot(command.path);
  }
}

/** A turn for each entry, so that it goes as live traffic does and not as one heap of it. */
async function deliver(users: number, entries: number): Promise<void> {
  const message = { case: "message", value: { body: textBody } } as const;
  const entry = toBinary(
    InboxEntrySchema,
    create(InboxEntrySchema, { items: [{ item: message }] }),
  );
  for (let n = 0; n < entries; n++) {
    for (let from = 0; from < users; from += appendsMax) {
      const some = Array.from({ length: Math.min(appendsMax, users - from) }, (_, i) =>
        streams.inbox.append(inboxSubject(loadUserId(from + i)), entry),
      );
      await Promise.all(some);
    }
  }
}

function readMemory(): MemoryUse {
  const { rss, heapUsed, heapTotal, external } = process.memoryUsage();
  return { rss, rssAnonymous: anonymousBytes("self"), heapUsed, heapTotal, external };
}
