/** What is promised while all instances of a role are away, and that it heals when there are new ones. */
import { Code, ConnectError } from "@connectrpc/connect";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import {
  EdgeAddresses,
  errorRetryAfterMs,
  logIn,
  MessageService,
  memoryTokenStore,
  ParleyClient,
  SessionService,
  Status,
} from "../../edge/sdk/index.ts";
import { Device, password } from "../e2e/device.ts";
import { eventually, lostMsMax, OwnCluster, startMsMax } from "./own-cluster.ts";

vi.setConfig({ testTimeout: lostMsMax, hookTimeout: startMsMax });

let own: OwnCluster;
beforeAll(async () => {
  own = await OwnCluster.start({ edges: 2 });
});
// Or whatever fails without them would fail once more in every test that follows.
afterEach(() => own.replaceLost());
afterAll(() => own?.stop());

describe("IdGen away", () => {
  it("[R2] [R3] [M4] sends are UNAVAILABLE once the ids in hand are used, queue, and go on", async () => {
    const { ann, ben, channelId, firstId } = await own.pair();
    const replace = await own.loseRole("idgen");

    const http = ann.http(MessageService);
    let taken = 0;
    const send = () => {
      const clientMessageId = ann.client.newClientMessageId();
      return http.sendMessage({ channelId, clientMessageId, text: `taken ${taken++}` });
    };
    // A block of ids is used for a second at most.
    const refused = await vi.waitFor(async () => {
      const error = await send().then(() => undefined, ConnectError.from);
      expect(error).toBeDefined();
      return error!;
    }, eventually);
    expect(refused.code).toBe(Code.Unavailable);
    expect(errorRetryAfterMs(refused)).toBeGreaterThan(0);
    const queued = ann.client.send(channelId, "queued").result;
    const { messages } = await http.listMessages({ channelId });
    expect(messages).toHaveLength(1 + taken);

    await replace();
    const { messageId } = await queued;
    await ben.hears(channelId, "queued");
    const ids = ben.told(channelId).map((message) => message.messageId);
    expect(ids.at(-1)).toBe(messageId);
    expect(ids).toEqual([...ids].sort((a, b) => (a < b ? -1 : 1)));
    expect(ids).toContain(firstId);
    await Promise.all([ann.client.close(), ben.client.close()]);
  });
});

describe("Presence away", () => {
  it("[R2] [R3] statuses are unknown, messages arrive, and statuses come back", async () => {
    const { ann, ben, channelId } = await own.pair();
    await ben.http(SessionService).requestFriend({ userId: ann.userId });
    await ann.http(SessionService).acceptFriend({ userId: ben.userId });
    const statusOfBen = async () => (await ann.client.presence([ben.userId]))[0]!.status;
    await vi.waitFor(async () => expect(await statusOfBen()).toBe(Status.ONLINE), eventually);
    const replace = await own.loseRole("presence");

    const unknown = await statusOfBen().then(() => undefined, ConnectError.from);
    expect(unknown?.code).toBe(Code.Unavailable);
    await ann.say(channelId, "second");
    await ben.hears(channelId, "second");
    const cleo = await own.device("cleo");

    await replace();
    await vi.waitFor(async () => expect(await statusOfBen()).toBe(Status.ONLINE), eventually);
    await Promise.all([ann, ben, cleo].map(({ client }) => client.close()));
  });
});

describe("Session away", () => {
  it("[R2] [R3] nobody signs in, connections and sends go on, and sign-ins come back", async () => {
    const { ann, ben, channelId } = await own.pair();
    const { url } = own;
    const replace = await own.loseRole("session");

    const doLogIn = () => logIn({ url, login: ann.signIn.username, password });
    const refused = await doLogIn().then(() => undefined, ConnectError.from);
    expect(refused?.code).toBe(Code.Unavailable);
    await ann.say(channelId, "second");
    await ben.hears(channelId, "second");
    // The edge checks the tokens by itself.
    const again = await Device.connect(url, ben.signIn, ben.store);
    await ann.say(channelId, "third");
    await again.hears(channelId, "third");

    await replace();
    await vi.waitFor(doLogIn, eventually);
    await Promise.all([ann, ben, again].map(({ client }) => client.close()));
  });
});

describe("a worker dead", () => {
  it("[R3] [M6] another takes over whichever of them it is", async () => {
    const { ann, ben, channelId } = await own.pair();
    // Channels of every shard of the logs, and inboxes of some.
    const groups = await Promise.all(Array.from({ length: 16 }, () => ann.createGroup([ben])));
    const store = await own.messageStore();
    for (const round of ["one", "the other"]) {
      const replace = await own.loseRole("worker", 1);
      await Promise.all([channelId, ...groups].map((id) => ann.client.send(id, round).result));
      await Promise.all([channelId, ...groups].map((id) => ben.hears(id, round)));
      const lastId = ben.told(channelId).at(-1)!.messageId;
      await vi.waitFor(async () => {
        const row = await store.getChannel(channelId);
        expect(row?.channel.lastMessageId).toBe(lastId);
      }, eventually);
      await replace();
    }
    for (const id of groups) expect(ben.texts(id)).toEqual(["one", "the other"]);
    await Promise.all([ann.client.close(), ben.client.close()]);
  });
});

describe("a Message instance dead", () => {
  it("[R3] [M5] [M6] the other takes its channels at once", async () => {
    const { ann, ben, channelId } = await own.pair();
    const groups = await Promise.all(Array.from({ length: 8 }, () => ann.createGroup([ben])));
    for (const round of ["one", "the other"]) {
      const sends = [channelId, ...groups].map((id) => ann.client.send(id, `${round} before`));
      const replace = await own.loseRole("message", 1);
      await Promise.all([channelId, ...groups].map((id) => ann.say(id, `${round} after`)));
      await Promise.all(sends.map(({ result }) => result));
      await Promise.all(groups.map((id) => ben.hears(id, `${round} after`)));
      await replace();
    }
    for (const id of groups) {
      expect(ben.texts(id)).toEqual(
        ["one", "the other"].flatMap((round) => [`${round} before`, `${round} after`]),
      );
    }
    await Promise.all([ann.client.close(), ben.client.close()]);
  });
});

describe("an edge dead", () => {
  it("[R3] [S2] [M6] its clients go to another by themselves and resume", async () => {
    const { ann, ben, channelId } = await own.pair();
    const [dying, other] = own.cluster.edgeUrls as [string, string];
    const { username: login } = ben.signIn;
    const tokens = memoryTokenStore(await logIn({ url: dying, login, password }));
    const url = new EdgeAddresses([dying, other]);
    const client = await ParleyClient.open({ url, tokens });
    const texts: string[] = [];
    let resets = 0;
    client.on("message", ({ body }) => body.case === "text" && texts.push(body.value));
    client.on("reset", () => resets++);
    await client.connect();
    await ben.client.close();
    const anns = await Device.connect(other, ann.signIn, ann.store);
    await anns.say(channelId, "before");
    await vi.waitFor(() => expect(texts).toContain("before"), eventually);

    const resetsBefore = resets;
    const edge = own.cluster.processes.find(({ address }) => address === dying)!;
    edge.signal("SIGKILL");
    for (const text of ["second", "third"]) await anns.say(channelId, text);
    await vi.waitFor(() => expect(texts).toContain("third"), eventually);
    expect(url.current).toBe(other);
    const { messageId } = await client.send(channelId, "answer").result;
    await anns.hears(channelId, "answer");
    expect(anns.told(channelId).at(-1)!.messageId).toBe(messageId);
    const since = ["before", "second", "third"];
    expect(texts.filter((text) => since.includes(text))).toEqual(since);
    expect(resets).toBe(resetsBefore);
    await edge.ready();
    await Promise.all([client, anns.client, ann.client].map((each) => each.close()));
  });
});
