/** `parley dead-letters`: what workers have put aside because they could not make sense of it. */
import { join } from "node:path";
import { systemClock as clock } from "./mesh/clock.ts";
import { parseConfig } from "./mesh/config.ts";
import { lockFolder } from "./mesh/folder-lock.ts";
import { folderConfig } from "./mesh/process.ts";
import type { Streams } from "./mesh/streams.ts";
import { openLmdbStreams } from "./mesh/streams-lmdb.ts";
import { openNatsStreams } from "./mesh/streams-nats.ts";
import { natsConfig, natsOptions } from "./servers-config.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Letters that are read at a time. */
const pageMax = 100;

/**
 * Prints a line of JSON for each: the worker, the stream, its epoch, the entry's sequence and
 * subject, and the reason; nothing of what the entry says. They are NATS', or with `--embedded`
 * those in the data folder, which nobody else may be using then.
 * @returns 0; 1 where there are any. @throws ConfigError, FolderLocked, StreamUnavailable
 */
export async function deadLetters(args: string[], environment: Environment): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const open = args.includes("--embedded") ? openInFolder : openOnNats;
  const { deadLetters } = await open(environment, stack);
  let found = 0;
  for (let place = "", isMore = true; isMore; ) {
    const page = await deadLetters.list(place, pageMax);
    for (const { worker, stream, epoch, entry, reason } of page) {
      const { sequence, subject } = entry;
      console.log(JSON.stringify({ worker, stream, epoch, sequence, subject, reason }));
    }
    found += page.length;
    place = page.at(-1)?.place ?? place;
    isMore = page.length === pageMax;
  }
  return found > 0 ? 1 : 0;
}

async function openInFolder(
  environment: Environment,
  stack: AsyncDisposableStack,
): Promise<Streams> {
  const { dataDir } = parseConfig(folderConfig, environment);
  stack.adopt(lockFolder(dataDir), (lock) => lock.release());
  return closed(await openLmdbStreams({ path: join(dataDir, "streams"), clock }), stack);
}

async function openOnNats(environment: Environment, stack: AsyncDisposableStack): Promise<Streams> {
  const config = parseConfig(natsConfig, environment);
  return closed(await openNatsStreams({ ...natsOptions(config), clock }), stack);
}

function closed(streams: Streams, stack: AsyncDisposableStack): Streams {
  return stack.adopt(streams, (opened) => opened.close());
}
