/** What is promised while a server is away, and that everything heals by itself when it is back. */
import { setTimeout as sleep } from "node:timers/promises";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  errorReason,
  errorRetryAfterMs,
  logIn,
  MessageOrder,
  MessageService,
  signUp,
} from "../../edge/sdk/index.ts";
import type { MessageStore } from "../../services/message/store/message-store.ts";
import { fanOutWorker } from "../../services/message/workers/fan-out.ts";
import { persistWorker } from "../../services/message/workers/persist.ts";
import { Device, password } from "../e2e/device.ts";
import { eventually, lostMsMax, OwnCluster, startMsMax } from "./own-cluster.ts";

vi.setConfig({ testTimeout: lostMsMax, hookTimeout: startMsMax });

/** How long Consul stays away while messages flow. */
const awayMs = 20_000;

let own: OwnCluster;
let store: MessageStore;
beforeAll(async () => {
  own = await OwnCluster.start({ instances: { idgen: 2, session: 1, presence: 1, worker: 1 } });
  store = await own.messageStore();
});
afterAll(() => own?.stop());

/** Resolves when the store has a message. */
function stored(channelId: string, messageId: bigint): Promise<void> {
  return vi.waitFor(async () => {
    const row = await store.getChannel(channelId);
    expect(row?.channel.lastMessageId).toBeGreaterThanOrEqual(messageId);
  }, eventually);
}

/** What a call fails with. */
async function failure(call: Promise<unknown>): Promise<{ reason: string; retryAfterMs: number }> {
  const error = await call.then(() => undefined, ConnectError.from);
  return { reason: errorReason(error), retryAfterMs: errorRetryAfterMs(error) };
}

const away = { reason: "UNAVAILABLE", retryAfterMs: expect.any(Number) };

/** A page of a channel's history over HTTP, oldest first. */
function page(device: Device, channelId: string) {
  const order = MessageOrder.OLDEST_FIRST;
  return device.http(MessageService).listMessages({ channelId, order, pageSize: 200 });
}

function textsOf({ messages }: Awaited<ReturnType<typeof page>>): string[] {
  return messages.flatMap(({ body }) => (body.case === "text" ? [body.value] : []));
}

/** A text over HTTP, once. */
function sendOnce(device: Device, channelId: string, text: string) {
  const clientMessageId = device.client.newClientMessageId();
  return device.http(MessageService).sendMessage({ channelId, clientMessageId, text });
}

describe("NATS away", () => {
  it("[R2] [R3] [H6] sends are UNAVAILABLE and queue, history serves, and all of it heals", async () => {
    const { ann, ben, channelId, firstId } = await own.pair();
    await stored(channelId, firstId);
    const { url } = own;
    const signIn = await logIn({ url, login: ann.signIn.username, password });
    const restart = await own.lose("nats");

    const refused = await failure(sendOnce(ann, channelId, "refused"));
    expect(refused).toEqual(away);
    expect(refused.retryAfterMs).toBeGreaterThan(0);
    const queued = ["second", "third"].map((text) => ann.client.send(channelId, text).result);
    const degraded = await page(ben, channelId);
    expect(textsOf(degraded)).toEqual(["first"]);
    expect(degraded.degraded).toBe(true);
    expect(degraded.degradedRanges).toMatchObject([
      { minMessageId: firstId + 1n, maxMessageId: 2n ** 63n - 1n },
    ]);
    expect(ann.client.queuedSends.map(({ text }) => text)).toEqual(["second", "third"]);
    // What a device connects for lies in NATS: it waits.
    const connecting = Device.connect(url, signIn);

    await restart();
    const results = await Promise.all(queued);
    await ben.hears(channelId, "third");
    const again = await connecting;
    await ben.say(channelId, "fourth");
    await again.hears(channelId, "fourth");
    await ben.hears(channelId, "fourth");
    expect(ben.texts(channelId)).toEqual(["first", "second", "third", "fourth"]);
    expect(results[0]!.prevMessageId).toBe(firstId);
    const whole = await page(ben, channelId);
    expect(whole.degraded).toBe(false);
    expect(textsOf(whole)).toEqual(["first", "second", "third", "fourth"]);
    await Promise.all([ann, ben, again].map(({ client }) => client.close()));
  });
});

describe("Cassandra away", () => {
  it("[R2] [R3] [H6] chat goes on from the log, though its instances die too, and persist catches up", async () => {
    const { ann, ben, channelId: old, firstId: oldId } = await own.pair();
    const idle = await ann.createGroup([ben]);
    const idleId = await ann.say(idle, "idle");
    await stored(old, oldId);
    await stored(idle, idleId);
    // As after a week: the log has forgotten what was said so far, and so have the instances.
    const streams = await own.streams();
    const workers = [persistWorker, fanOutWorker];
    await vi.waitFor(async () => {
      await streams.log.trim({ olderThanMs: 0, workers });
      for (const id of [old, idle]) expect(await streams.log.last(id)).toBeUndefined();
    }, eventually);
    await own.restartRole("message");
    const recentId = await ann.say(old, "recent");
    const young = await ann.createGroup([ben]);
    await ann.say(young, "young");

    const restart = await own.lose("cassandra");
    const inOld = await ann.say(old, "in old");
    await own.restartRole("message");
    // Nothing but the store knows this one's members.
    expect(await failure(sendOnce(ann, idle, "refused"))).toEqual(away);
    const queued = ann.client.send(idle, "idle no more").result;
    const inYoung = await ann.say(young, "in young");
    await ben.say(old, "answer");
    await ann.hears(old, "answer");
    await ben.hears(young, "in young");
    const cut = await page(ben, old);
    expect(textsOf(cut)).toEqual(["recent", "in old", "answer"]);
    expect(cut.degraded).toBe(true);
    expect(cut.degradedRanges).toMatchObject([{ minMessageId: 1n, maxMessageId: recentId - 1n }]);
    const fromLog = await page(ben, young);
    expect(textsOf(fromLog)).toEqual(["young", "in young"]);
    expect(fromLog.degraded).toBe(false);

    await restart();
    await queued;
    await ben.hears(idle, "idle no more");
    await stored(old, inOld);
    await stored(young, inYoung);
    await vi.waitFor(async () => {
      const whole = await page(ben, old);
      expect(whole.degraded).toBe(false);
      expect(textsOf(whole)).toEqual(["first", "recent", "in old", "answer"]);
    }, eventually);
    const kept = await store.listMessages({ channelId: old, newestFirst: false, limit: 100 });
    expect(kept.map(({ message }) => message.channelSequence)).toEqual(kept.map((_, i) => i + 1));
    await Promise.all([ann.client.close(), ben.client.close()]);
  });
});

describe("PostgreSQL away", () => {
  it("[R2] [R3] nobody signs in or up, first contacts wait, and who is connected chats on", async () => {
    const { ann, ben, channelId } = await own.pair();
    const cleo = await own.device("cleo");
    const { url } = own;
    const restart = await own.lose("postgres");

    const { username: login } = cleo.signIn;
    const doLogIn = () => logIn({ url, login, password });
    const doSignUp = () => signUp({ url, username: `late-${login}`, password });
    expect(await failure(doLogIn())).toEqual(away);
    expect(await failure(doSignUp())).toEqual(away);
    // Whether somebody exists only Session can tell.
    expect(await failure(ann.openDirect(cleo))).toEqual(away);
    await ann.say(channelId, "second");
    await ben.hears(channelId, "second");
    // A device that comes back needs no log-in.
    const again = await Device.connect(url, ben.signIn, ben.store);
    await ann.say(channelId, "third");
    await again.hears(channelId, "third");

    await restart();
    await vi.waitFor(doLogIn, eventually);
    await doSignUp();
    const withCleo = await ann.openDirect(cleo);
    await ann.say(withCleo, "at last");
    await cleo.hears(withCleo, "at last");
    await Promise.all([ann, ben, cleo, again].map(({ client }) => client.close()));
  });
});

describe("Consul away", () => {
  it("[D2] [R3] [M4] the mesh goes on with whom it knows, ids too, and new processes wait", async () => {
    const { ann, ben, channelId, firstId } = await own.pair();
    const restart = await own.lose("consul");
    let isAway = true;
    let sent = 0;
    const ids = [firstId];
    const talk = (async () => {
      while (isAway) ids.push(await ann.say(channelId, `text ${sent++}`));
    })();
    // It says what it lacks, ends, and is started again by its supervisor.
    await expect(own.cluster.add("message")).rejects.toThrow(/Consul http/);
    const late = own.cluster.processes.at(-1)!;
    await sleep(awayMs);
    expect(late.address).toBe("");
    const duringAway = sent;
    expect(ann.client.resends).toBe(0);
    // Whom the others still know dies, and nobody tells them.
    const replace = await own.loseRole("message", 1);
    const groups = await Promise.all(Array.from({ length: 8 }, () => ann.createGroup([ben])));
    await Promise.all(groups.map((id) => ann.say(id, "two were known")));
    // A sign-in goes through every service but Presence.
    const dan = await own.device("dan");
    await restart();
    await vi.waitFor(() => expect(late.address).not.toBe(""), eventually);
    await replace();
    isAway = false;
    await talk;
    expect(duringAway).toBeGreaterThan(20);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => (a < b ? -1 : 1)));
    await ben.hears(channelId, `text ${sent - 1}`);
    expect(ben.texts(channelId)).toEqual([
      "first",
      ...Array.from(ids.slice(1), (_, i) => `text ${i}`),
    ]);
    const withDan = await ann.openDirect(dan);
    await ann.say(withDan, "hello");
    await dan.hears(withDan, "hello");
    await Promise.all([ann, ben, dan].map(({ client }) => client.close()));
  });
});
