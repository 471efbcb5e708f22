/** Groups of more members than anybody would sign up over HTTP. */
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock as clock } from "../mesh/clock.ts";
import { silentLogger as log } from "../mesh/logger.ts";
import { openPostgres } from "../mesh/sql-postgres.ts";
import { LoadClient, type LoadUser } from "./load-client.ts";
import type { LoadServer } from "./load-server.ts";
import { loadUserId } from "./load-tokens.ts";
import { addMembers, createGroup, hasChannels, logIn, signUp, times } from "./load-users.ts";

/** Users that one call may add. */
const addedMax = 99;
/** Calls after which the owner signs in anew: an access token lives for 15 minutes. */
const callsEach = 100;
/** One channel changes one after the other; the next wait at its owner. */
const callsAtOnce = 4;

/** What the member of this number, from 1, signs in with. */
export function memberName(number: number): string {
  return `member${number}`;
}

/**
 * Makes accounts `member1` … with the password of one that is signed up, as its copies in Session's
 * database: signing them all up over HTTP would take as long as the bench.
 */
export async function createAccounts(server: LoadServer, count: number): Promise<void> {
  const [original] = await signUp(server.urls, 1);
  const { url } = server.cluster!.servers.postgres;
  const sql = await openPostgres({ url, statementTimeoutMs: 60_000, clock, log });
  try {
    await sql.query(
      `INSERT INTO users (user_id, username, display_name, password_hash, create_time)
       SELECT 'u' || lpad(number::text, 15, '0'), 'member' || number, display_name,
              password_hash, create_time
         FROM users, generate_series(1, $1::integer) AS number WHERE user_id = $2`,
      [count, original!.userId],
    );
  } finally {
    await sql.close();
  }
}

/** A group of the first so many, the first its owner; resolves when all have been told of it. */
export async function createLargeGroup(urls: readonly string[], size: number): Promise<string> {
  let owner = await logIn(urls, memberName(1));
  const channelId = await createGroup(urls, [owner]);
  const calls = Math.ceil((size - 1) / addedMax);
  for (let from = 0; from < calls; from += callsEach) {
    owner = await logIn(urls, memberName(1));
    await times(
      Math.min(callsEach, calls - from),
      (i) => {
        const first = 2 + (from + i) * addedMax;
        const count = Math.min(addedMax, size + 1 - first);
        const userIds = Array.from({ length: count }, (_, n) => loadUserId(first + n));
        return addMembers(urls, channelId, owner, userIds);
      },
      callsAtOnce,
    );
  }
  await told(urls, await logIn(urls, memberName(size)));
  return channelId;
}

/** Resolves when the group is in the lists of the last who was added and in the inbox. */
async function told(urls: readonly string[], last: LoadUser): Promise<void> {
  while (!(await hasChannels(urls, last))) await sleep(100);
  for (;;) {
    const client = new LoadClient(last);
    await client.connect(urls[0]!);
    await client.close();
    // A new device begins after what its inbox holds.
    if (client.position.inboxSequence > 0) return;
    await sleep(100);
  }
}
