/**
 * An edge dies with users on it: what their friends, at the other edge, are told of each. With
 * `PARLEY_LOST_EDGE_USERS=1000` so many of them.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { times } from "../../bench/load-users.ts";
import {
  createClient,
  createHttpTransport,
  PresenceService,
  SessionService,
  type SignIn,
  Status,
} from "../../edge/sdk/index.ts";
import { concurrently } from "../../mesh/concurrently.ts";
import { newAccount } from "../e2e/device.ts";
import { RawClient } from "../e2e/raw-client.ts";
import { lostMsMax, OwnCluster, startMsMax } from "./own-cluster.ts";

const usersCount = Number(process.env.PARLEY_LOST_EDGE_USERS ?? 100);
/** Friends of one watcher, and users of one call of GetPresence. */
const usersEach = 100;
const graceMs = 20_000;
/** Who is back so much before its end or later may be told offline or not: words take their time. */
const marginMs = 3_000;
const heartbeatMs = 5_000;
const atOnceMax = 20;
const eventually = { timeout: lostMsMax, interval: 100 };

vi.setConfig({ testTimeout: 4 * lostMsMax, hookTimeout: startMsMax });

/** What becomes of users whose edge dies, in turn. */
const fates = ["back at once", "back later", "also elsewhere", "gone"] as const;

/** One of them. */
interface User {
  signIn: SignIn;
  fate: (typeof fates)[number];
  /** After the death of the edge. */
  backMs: number;
}

let own: OwnCluster;
const sockets = new Set<RawClient>();
let heartbeats: NodeJS.Timeout;
beforeAll(async () => {
  const environment = {
    PARLEY_PRESENCE_GRACE_MS: String(graceMs),
    PARLEY_EDGE_SILENCE_MS_MAX: String(graceMs),
  };
  own = await OwnCluster.start({ edges: 2, environment });
  heartbeats = setInterval(() => {
    for (const socket of sockets) socket.send({ heartbeat: {} });
  }, heartbeatMs);
});
afterAll(async () => {
  clearInterval(heartbeats);
  for (const { ws } of sockets) ws.terminate();
  await own?.stop();
});

it("[P5] [P2] [P3] who does not come back within the grace time is told offline once, and nobody flickers", async () => {
  const [dying, other] = own.cluster.edgeUrls as [string, string];
  const users = await makeAccounts(usersCount, (signIn, i): User => {
    return { signIn, fate: fates[i % fates.length]!, backMs: 0 };
  });
  const [last] = await makeAccounts(1, (signIn) => signIn);
  const watchers = await makeAccounts(Math.ceil(usersCount / usersEach), (signIn) => signIn);
  await concurrently(users, atOnceMax, ({ signIn }, i) =>
    befriend(signIn, watchers[Math.floor(i / usersEach)]!),
  );
  for (const watcher of watchers) await befriend(last!, watcher);
  // Who has just started doesn't know yet who may be connected elsewhere.
  await untilStatus(users, Status.OFFLINE);

  /** By user: what their friends are told. */
  const told = new Map<string, { status: string; timeMs: number }[]>();
  for (const watcher of watchers) {
    const { ws } = await connect(other, watcher);
    ws.on("message", (data: Buffer) => {
      const { presence } = JSON.parse(data.toString()).event ?? {};
      if (!presence) return;
      const { userId, status } = presence;
      const change = { status, timeMs: performance.now() };
      told.set(userId, [...(told.get(userId) ?? []), change]);
    });
  }
  const toldOf = ({ userId }: SignIn) => (told.get(userId) ?? []).map(({ status }) => status);
  const lastSocket = await connect(other, last!);
  await concurrently(users, atOnceMax, async ({ signIn, fate }) => {
    await connect(dying, signIn);
    if (fate === "also elsewhere") await connect(other, signIn);
  });
  await vi.waitFor(() => {
    const untold = users.filter(({ signIn }) => toldOf(signIn).length === 0);
    expect(untold).toHaveLength(0);
  }, eventually);
  for (const { signIn } of users) expect(toldOf(signIn)).toEqual(["STATUS_ONLINE"]);
  told.clear();

  const edge = own.cluster.processes.find(({ address }) => address === dying)!;
  const diedMs = performance.now();
  edge.signal("SIGKILL");
  // Or its supervisor would start it again.
  const ended = edge.stop();
  const comeBack = async (user: User) => {
    await connect(other, user.signIn);
    user.backMs = performance.now() - diedMs;
  };
  const having = (fate: User["fate"]) => users.filter((user) => user.fate === fate);
  const later = having("back later");
  await Promise.all([
    concurrently(having("back at once"), atOnceMax, comeBack),
    ...later.map(async (user, i) => {
      await sleep((i / later.length) * (graceMs / 2));
      await comeBack(user);
    }),
  ]);
  // When this one is told, all grace times that the death has begun are over.
  lastSocket.ws.close();
  await vi.waitFor(() => {
    expect(toldOf(last!)).toEqual(watchers.map(() => "STATUS_OFFLINE"));
  }, eventually);

  const tooLate = users.filter(({ backMs }) => backMs > graceMs - marginMs);
  const stays = users.filter((user) => user.fate !== "gone" && !tooLate.includes(user));
  const gone = having("gone");
  for (const { signIn } of gone) expect(toldOf(signIn)).toEqual(["STATUS_OFFLINE"]);
  expect(stays.filter(({ signIn }) => toldOf(signIn).length > 0)).toEqual([]);
  await untilStatus(gone, Status.OFFLINE);
  await untilStatus(stays, Status.ONLINE);
  const afterMs = gone.map(({ signIn }) => told.get(signIn.userId)![0]!.timeMs - diedMs);
  const lastBackMs = Math.max(...users.map(({ backMs }) => backMs));
  console.log(
    `${usersCount} users: ${gone.length} told offline after ${seconds(Math.min(...afterMs))} to`,
    `${seconds(Math.max(...afterMs))}; ${stays.length} stay online, the last back after`,
    `${seconds(lastBackMs)}; back too late to tell: ${tooLate.length}`,
  );
  await ended;
});

function makeAccounts<T>(count: number, describe: (signIn: SignIn, i: number) => T): Promise<T[]> {
  const url = own.cluster.edgeUrls[1]!;
  return times(count, async (i) => describe(await newAccount(url, "user"), i), atOnceMax);
}

async function befriend(one: SignIn, another: SignIn): Promise<void> {
  await callsOf(one, SessionService).requestFriend({ userId: another.userId });
  await callsOf(another, SessionService).acceptFriend({ userId: one.userId });
}

/** Resolves when GetPresence has said so of all. */
async function untilStatus(users: readonly User[], status: Status): Promise<void> {
  for (let from = 0; from < users.length; from += usersEach) {
    const userIds = users.slice(from, from + usersEach).map(({ signIn }) => signIn.userId);
    await vi.waitFor(async () => {
      const { presences } = await callsOf(users[0]!.signIn, PresenceService).getPresence({
        userIds,
      });
      expect(presences.filter((presence) => presence.status !== status)).toEqual([]);
    }, eventually);
  }
}

function callsOf<S extends typeof SessionService | typeof PresenceService>(
  { accessToken }: SignIn,
  service: S,
) {
  const url = own.cluster.edgeUrls[1]!;
  return createClient(service, createHttpTransport({ url, accessToken: async () => accessToken }));
}

/** A device with its heartbeats, as long as its socket lives. */
async function connect(url: string, { accessToken }: SignIn): Promise<RawClient> {
  const socket = await RawClient.signIn(url, accessToken);
  sockets.add(socket);
  void socket.closed.then(() => sockets.delete(socket));
  return socket;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
