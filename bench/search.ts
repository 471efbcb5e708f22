/** Writing to the search index and looking for words in it, in each database. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres } from "../deploy/servers/postgres.ts";
import { MemberRole } from "../gen/parley/message/v1/message_pb.js";
import { systemClock as clock } from "../mesh/clock.ts";
import { firstMessageIdAt, snowflakeEpochMs } from "../mesh/ids.ts";
import { silentLogger as log } from "../mesh/logger.ts";
import type { Sql } from "../mesh/sql.ts";
import { openPglite } from "../mesh/sql-pglite.ts";
import { openPostgres } from "../mesh/sql-postgres.ts";
import type { IndexedText, IndexQuery } from "../services/message/search/search-index.ts";
import { SqlSearchIndex } from "../services/message/search/search-index-sql.ts";
import { parseQuery } from "../services/message/search/search-query.ts";
import { Latencies } from "./latencies.ts";
import type { Figure, ScenarioOptions, ScenarioResult } from "./scenario.ts";

/** Texts of 12 words of a vocabulary in which the n-th word is n times as rare as the first. */
const vocabulary = 50_000;
const wordsEach = 12;
const batchSize = 512;
const channels = 1_000;
/** The channels of who searches. */
const own = 50;
const userId = "searcher";

interface Sizes {
  texts: number;
  queries: number;
}

/** Fills the index of each database and searches it. */
export async function search({ quick }: ScenarioOptions): Promise<ScenarioResult> {
  const sizes = quick ? { texts: 20_000, queries: 100 } : { texts: 500_000, queries: 2_000 };
  const folder = mkdtempSync(join(tmpdir(), "parley-bench-"));
  // PostgreSQL may run as another user.
  chmodSync(folder, 0o755);
  try {
    const figures = await measure("PGlite", await openPglite(join(folder, "pglite")), sizes);
    const server = await startPostgres({ folder: join(folder, "postgres"), port: 0 });
    try {
      const sql = await openPostgres({ url: server.url, clock, log });
      figures.push(...(await measure("PostgreSQL", sql, sizes)));
    } finally {
      await server.process.stop();
    }
    return { figures, notes: [] };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function measure(name: string, sql: Sql, sizes: Sizes): Promise<Figure[]> {
  const index = new SqlSearchIndex(sql);
  const memberships = Array.from({ length: own }, (_, i) => ({
    ...{ channelId: channelOf(i), userId, joinedSequence: 1, leftSequence: 0, sequence: 1 },
    ...{ role: MemberRole.MEMBER, joinTimeMs: 0 },
  }));
  await index.apply({ texts: [], memberships, channels: [] });
  const cpuBefore = process.cpuUsage();
  const start = performance.now();
  for (let from = 0; from < sizes.texts; from += batchSize) {
    const texts = Array.from({ length: batchSize }, (_, i) => text(from + i));
    await index.apply({ texts, memberships: [], channels: [] });
  }
  const seconds = (performance.now() - start) / 1_000;
  const cpu = process.cpuUsage(cpuBefore);
  const figures: Figure[] = [
    { name: `${name}: written`, value: sizes.texts / seconds, unit: "messages/s" },
    {
      name: `${name}: CPU of the writing process`,
      value: (cpu.user + cpu.system) / sizes.texts,
      unit: "µs/message",
    },
  ];
  const kinds: Record<string, () => Partial<IndexQuery>> = {
    "any two words": () => ({ phrases: parseQuery(`${anyWord()} ${anyWord()}`) }),
    "a rare word": () => ({ phrases: parseQuery(word(vocabulary - 1 - rare())) }),
    "the commonest word": () => ({ phrases: parseQuery(word(0)) }),
    "any word in one channel": () => ({
      ...{ phrases: parseQuery(anyWord()), channelId: channelOf(rare() % own) },
    }),
  };
  for (const [kind, query] of Object.entries(kinds)) {
    const latencies = new Latencies();
    // The first ones warm up what the figures are not about.
    for (let i = -20; i < sizes.queries; i++) {
      const wanted = { userId, phrases: [], byRank: true, limit: 21, ...query() };
      const began = performance.now();
      await index.find(wanted);
      if (i >= 0) latencies.add(performance.now() - began);
    }
    figures.push(...latencies.figures(`${name}: ${kind}`, [50, 99]));
  }
  await sql.close();
  return figures;
}

function text(number: number): IndexedText {
  const words = Array.from({ length: wordsEach }, anyWord).join(" ");
  return {
    ...{ channelId: channelOf(number % channels), messageId: idOf(number), senderId: "sender" },
    ...{ channelSequence: number + 2, sequence: number + 2, text: words, mentionedUserIds: [] },
  };
}

/** A word, as often as its place in the vocabulary has it. */
function anyWord(): string {
  return word(Math.floor(vocabulary ** random()) - 1);
}

function word(place: number): string {
  return `w${place.toString(36)}`;
}

function rare(): number {
  return Math.floor(random() * 1_000);
}

function channelOf(number: number): string {
  return `g-${number.toString().padStart(20, "0")}`;
}

function idOf(number: number): bigint {
  return firstMessageIdAt(snowflakeEpochMs + (number + 1) * 1_000);
}

let state = 1;
/** The same texts in every run: a linear congruential generator (Numerical Recipes). */
function random(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}
