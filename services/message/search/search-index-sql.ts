/**
 * The search index in PostgreSQL: texts as `tsvector`s that are made here, by none of its
 * dictionaries. Besides its words a text has terms that no word can be: `#` and its channel, `<`
 * and its sender, `@` and each user that it mentions. One GIN index serves them all, so that a
 * search in one's channels never looks at what others say.
 */
import type { Sql } from "../../../mesh/sql.ts";
import { type Migration, migrate } from "../../../mesh/sql-migrations.ts";
import {
  checkIndexBatch,
  type IndexBatch,
  type IndexedText,
  type IndexHit,
  type IndexQuery,
  rankedMax,
  type SearchIndex,
} from "./search-index.ts";
import type { Phrase } from "./search-query.ts";
import { fold, wordsOf } from "./search-words.ts";

const migrations: readonly Migration[] = [
  {
    name: "0001_search",
    text: `
      CREATE TABLE search_texts (
        message_id bigint PRIMARY KEY,
        channel_id text COLLATE "C" NOT NULL,
        channel_sequence bigint NOT NULL,
        sequence bigint NOT NULL,
        terms tsvector NOT NULL
      );
      CREATE INDEX search_texts_terms ON search_texts USING gin (terms)
        WITH (gin_pending_list_limit = 1024);

      CREATE TABLE search_stays (
        user_id text COLLATE "C" NOT NULL,
        channel_id text COLLATE "C" NOT NULL,
        joined_sequence bigint NOT NULL,
        left_sequence bigint NOT NULL,
        sequence bigint NOT NULL,
        PRIMARY KEY (user_id, channel_id, joined_sequence)
      );

      CREATE TABLE search_channels (
        channel_id text COLLATE "C" PRIMARY KEY,
        history_before_joining boolean NOT NULL,
        sequence bigint NOT NULL
      );
    `,
  },
  {
    // What is not merged into the index yet is read through by each search: at 1 MB three times
    // the CPU of a search, for 8 % less of a write.
    name: "0002_pending_list",
    text: "ALTER INDEX search_texts_terms SET (gin_pending_list_limit = 64)",
  },
];

/** Bytes of a text's words; what follows is not found. A tsvector takes 1 MB with their places. */
const termBytesMax = 512 * 1024;
/** Places of a word in a text: a tsvector keeps no more. */
const placesMax = 256;
/** Channels that a query names; who has more is looked for in all, which takes longer. */
const channelsMax = 1_000;

/** The index in a database, whose tables it makes at its first use. */
export class SqlSearchIndex implements SearchIndex {
  private readonly sql: Sql;
  private migrated: Promise<unknown> | undefined;

  constructor(sql: Sql) {
    this.sql = sql;
  }

  async apply(batch: IndexBatch): Promise<void> {
    checkIndexBatch(batch);
    const texts = columns(
      newestOf(batch.texts, ({ messageId }) => messageId),
      textRow,
    );
    const stays = columns(
      newestOf(batch.memberships, (row) => `${row.userId} ${row.channelId} ${row.joinedSequence}`),
      (row) => [row.userId, row.channelId, row.joinedSequence, row.leftSequence, row.sequence],
    );
    const channels = columns(
      newestOf(batch.channels, ({ channelId }) => channelId),
      (row) => [row.channelId, row.historyBeforeJoining, row.sequence],
    );
    await this.migrate();
    await this.sql.transaction(async (transaction) => {
      if (channels) await transaction.query(upsertChannels, channels);
      if (stays) await transaction.query(upsertStays, stays);
      if (texts) await transaction.query(upsertTexts, texts);
    });
  }

  async find(query: IndexQuery): Promise<IndexHit[]> {
    const { userId, channelId = "", phrases = [], byRank, after, limit } = query;
    await this.migrate();
    const readable = await this.sql.query<ReadableRow>(selectReadable, [userId, channelId]);
    if (readable.length === 0) return [];
    const channelIds = [...new Set(readable.map((row) => row.channel_id))];
    const words = phrases.map(phraseQuery).join(" & ");
    const conditions = [
      ...(words ? [words] : []),
      ...(query.senderId ? [quote(`<${query.senderId}`)] : []),
      ...(query.mentionedUserId ? [quote(`@${query.mentionedUserId}`)] : []),
      ...(channelIds.length <= channelsMax
        ? [`(${channelIds.map((id) => quote(`#${id}`)).join(" | ")})`]
        : []),
    ];
    const rows = await this.sql.query<HitRow>(byRank ? selectByRank : selectNewest, [
      conditions.join(" & "),
      readable.map((row) => row.channel_id),
      readable.map((row) => row.from_sequence),
      readable.map((row) => row.to_sequence),
      ...(byRank ? [words, String(after?.rank ?? rankMax)] : []),
      String(after?.messageId ?? messageIdMax),
      limit,
    ]);
    return rows.map((row) => ({
      channelId: row.channel_id,
      messageId: BigInt(row.message_id),
      rank: row.rank,
    }));
  }

  /** Once; where it failed, again with the next call. */
  private async migrate(): Promise<void> {
    this.migrated ??= migrate(this.sql, "search", migrations);
    try {
      await this.migrated;
    } catch (error) {
      this.migrated = undefined;
      throw error;
    }
  }
}

interface ReadableRow {
  channel_id: string;
  from_sequence: string;
  to_sequence: string;
}

interface HitRow {
  channel_id: string;
  message_id: string;
  rank: number;
}

const rankMax = 2 ** 31 - 1;
const messageIdMax = 2n ** 63n - 1n;

const upsertTexts = `
  INSERT INTO search_texts AS stored
    (message_id, channel_id, channel_sequence, sequence, terms)
  SELECT message_id::bigint, channel_id, channel_sequence::bigint, sequence::bigint,
    terms::tsvector
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    AS given (message_id, channel_id, channel_sequence, sequence, terms)
  ON CONFLICT (message_id) DO UPDATE SET
    sequence = excluded.sequence, terms = excluded.terms
  WHERE excluded.sequence >= stored.sequence`;

const upsertStays = `
  INSERT INTO search_stays AS stored
    (user_id, channel_id, joined_sequence, left_sequence, sequence)
  SELECT user_id, channel_id, joined_sequence::bigint, left_sequence::bigint, sequence::bigint
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    AS given (user_id, channel_id, joined_sequence, left_sequence, sequence)
  ON CONFLICT (user_id, channel_id, joined_sequence) DO UPDATE SET
    left_sequence = excluded.left_sequence, sequence = excluded.sequence
  WHERE excluded.sequence > stored.sequence`;

const upsertChannels = `
  INSERT INTO search_channels AS stored (channel_id, history_before_joining, sequence)
  SELECT channel_id, history_before_joining::boolean, sequence::bigint
  FROM unnest($1::text[], $2::text[], $3::text[])
    AS given (channel_id, history_before_joining, sequence)
  ON CONFLICT (channel_id) DO UPDATE SET
    history_before_joining = excluded.history_before_joining, sequence = excluded.sequence
  WHERE excluded.sequence > stored.sequence`;

/** What a user may read: of a channel that shows its history, a member everything. */
const selectReadable = `
  SELECT channel_id,
    CASE WHEN left_sequence = 0 AND history_before_joining THEN '0'
      ELSE joined_sequence::text END AS from_sequence,
    CASE WHEN left_sequence = 0 THEN '${2 ** 32}' ELSE left_sequence::text END AS to_sequence
  FROM search_stays LEFT JOIN search_channels USING (channel_id)
  WHERE user_id = $1 AND ($2 = '' OR channel_id = $2)`;

const fitting = `
  FROM search_texts AS texts
  WHERE terms @@ $1::tsquery AND EXISTS (
    SELECT FROM unnest($2::text[], $3::text[]::bigint[], $4::text[]::bigint[])
      AS readable (channel_id, from_sequence, to_sequence)
    WHERE readable.channel_id = texts.channel_id
      AND texts.channel_sequence BETWEEN from_sequence AND to_sequence
      AND texts.sequence <= to_sequence)`;

const selectNewest = `
  SELECT channel_id, message_id::text, 0 AS rank ${fitting} AND message_id < $5::bigint
  ORDER BY message_id DESC LIMIT $6`;

/** 1: a longer text counts less, by the logarithm of its length. */
const selectByRank = `
  SELECT channel_id, message_id::text, rank FROM (
    SELECT channel_id, message_id, (ts_rank(terms, $5::tsquery, 1) * 1000000)::integer AS rank
    FROM (SELECT channel_id, message_id, terms ${fitting}
      ORDER BY message_id DESC LIMIT ${rankedMax}) AS newest
  ) AS ranked
  WHERE (rank, message_id) < ($6::integer, $7::bigint)
  ORDER BY rank DESC, message_id DESC LIMIT $8`;

/** One array for each column; undefined: there are no rows. */
function columns<T>(
  rows: readonly T[],
  cells: (row: T) => readonly (string | number | bigint | boolean)[],
): string[][] | undefined {
  if (rows.length === 0) return undefined;
  const table = rows.map((row) => cells(row).map(String));
  return table[0]!.map((_, column) => table.map((row) => row[column]!));
}

function textRow(text: IndexedText): (string | number | bigint)[] {
  const { messageId, channelId, channelSequence, sequence } = text;
  return [messageId, channelId, channelSequence, sequence, termsOf(text)];
}

/** As the text of a tsvector. What has no words (a deletion) is found by nothing. */
function termsOf({ channelId, senderId, text, mentionedUserIds }: IndexedText): string {
  const places = new Map<string, number[]>();
  let bytes = 0;
  for (const { term, position } of wordsOf(fold(text))) {
    const known = places.get(term);
    if (!known) {
      bytes += Buffer.byteLength(term);
      if (bytes > termBytesMax) break;
      places.set(term, [position]);
    } else if (known.length < placesMax) {
      known.push(position);
    }
  }
  if (text === "") return "";
  const others = [`#${channelId}`, `<${senderId}`, ...mentionedUserIds.map((id) => `@${id}`)];
  const words = Array.from(places, ([term, positions]) => `${quote(term)}:${positions}`);
  return [...others.map(quote), ...words].join(" ");
}

/** The terms of a phrase at their distances. */
function phraseQuery(phrase: Phrase): string {
  const [first, ...rest] = phrase;
  let query = quote(first!.term);
  let before = first!.offset;
  for (const { term, offset } of rest) {
    query += ` <${offset - before}> ${quote(term)}`;
    before = offset;
  }
  return `(${query})`;
}

/** A term as tsvector and tsquery read it. */
function quote(term: string): string {
  return `'${term.replace(/['\\]/g, "$&$&")}'`;
}

/** Of rows of one key the newest: a statement changes a row once. */
function newestOf<T extends { sequence: number }>(
  rows: readonly T[],
  keyOf: (row: T) => string | bigint,
): T[] {
  const newest = new Map<string | bigint, T>();
  for (const row of rows) {
    const known = newest.get(keyOf(row));
    if (!known || known.sequence <= row.sequence) newest.set(keyOf(row), row);
  }
  return [...newest.values()];
}
