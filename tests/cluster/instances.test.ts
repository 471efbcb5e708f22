/** Instances that come and go on a cluster in use. */
import { randomInt } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { replayDialogues } from "../../edge/cli/replay-run.ts";
import { CloseCode } from "../../edge/close-codes.ts";
import { MessageService, SessionService } from "../../edge/sdk/index.ts";
import { Device, newAccount } from "../e2e/device.ts";
import { noFaults, someDialogues } from "../e2e/dialogues.ts";
import { RawClient } from "../e2e/raw-client.ts";
import { Instances } from "../instances.ts";
import { eventually, OwnCluster, startMsMax } from "./own-cluster.ts";

// Processes take their time to start on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: startMsMax });

/** What others find each role by. */
const services = {
  message: "parley.message.v1.MessageService",
  presence: "parley.presence.v1.PresenceService",
  session: "parley.session.v1.SessionService",
  idgen: "parley.idgen.v1.IdGenService",
};
const roles = ["edge", "worker", ...Object.keys(services)];

// Not the one that tests share: whose presence a new instance is asked for, it doesn't know at once.
let own: OwnCluster;
let instances: Instances;
beforeAll(async () => {
  own = await OwnCluster.start({ edges: 2 });
  instances = new Instances(own.cluster.servers.consul.url);
});
afterAll(() => own?.stop());

let turn = 0;
/** Each edge in turn. */
function nextUrl(): string {
  const { edgeUrls } = own.cluster;
  return edgeUrls[turn++ % edgeUrls.length]!;
}

describe("an instance that is added", () => {
  it("[A3] as edge refuses from the start the device that was revoked before", async () => {
    const signIn = await newAccount(nextUrl(), "ann");
    await using device = await Device.connect(nextUrl(), signIn);
    await device.http(SessionService).revokeDevice({ deviceId: signIn.deviceId });
    await using added = await own.cluster.add("edge");
    const socket = await RawClient.open(added.address);
    socket.send({ hello: { accessToken: signIn.accessToken } });
    expect(await socket.closed).toMatchObject({ code: CloseCode.TOKEN_REVOKED });
  });

  /** Two who have just signed up find each other and talk. */
  async function twoTalk(): Promise<void> {
    const [ann, ben] = await Promise.all(
      ["ann", "ben"].map(async (name) =>
        Device.connect(nextUrl(), await newAccount(nextUrl(), name)),
      ),
    );
    const channelId = await ann!.openDirect(ben!);
    await ann!.say(channelId, "hello");
    await ben!.hears(channelId, "hello");
    await ben!.http(MessageService).listMessages({ channelId });
    await ann!.client.presence([ben!.userId]);
    await Promise.all([ann!.client.close(), ben!.client.close()]);
  }

  it.for(Object.entries(services))("[D1] [D3] as %s takes its share", async ([role, service]) => {
    await using added = await own.cluster.add(role);
    const startMs = performance.now();
    const isIt = (address: string) => address === added.address;
    const [found] = await instances.find(service, 1, isIt);
    const calls = async () => {
      const text = await (await fetch(found!.metadata.metrics_url!)).text();
      const counts = text.matchAll(
        /^parley_rpc_handled_total\{method="([^"]+)",code="0"\} (\d+)/gm,
      );
      return [...counts].reduce((sum, [, method, count]) => {
        return method!.startsWith(`${service}/`) ? sum + Number(count) : sum;
      }, 0);
    };
    while ((await calls()) === 0) await twoTalk();
    console.log(`${role}: its first call after ${Math.round(performance.now() - startMs)} ms`);
  });

  it("[D1] [D3] as worker takes over its share of the shards", async () => {
    await using _added = await own.cluster.add("worker");
    const startMs = performance.now();
    const workers = await instances.find("parley.worker", 3);
    const leases = async () => {
      const held = await Promise.all(
        workers.map(async ({ metadata }) => {
          const text = await (await fetch(metadata.metrics_url!)).text();
          return Number(/^parley_nats_worker_leases (\d+)/m.exec(text)![1]);
        }),
      );
      return held.sort((a, b) => a - b);
    };
    await vi.waitFor(async () => expect((await leases())[0]).toBeGreaterThan(0), eventually);
    console.log(`worker: its first shard after ${Math.round(performance.now() - startMs)} ms`);
    await twoTalk();
  });

  it("[D1] [D3] as edge serves clients, who meet those of other edges", async () => {
    await using added = await own.cluster.add("edge");
    const isIt = (address: string) => added.address === `http://${address}`;
    await instances.find("parley.edge", 1, isIt);
    const ann = await Device.connect(added.address, await newAccount(added.address, "ann"));
    const ben = await Device.connect(nextUrl(), await newAccount(nextUrl(), "ben"));
    const channelId = await ann.openDirect(ben);
    await ann.say(channelId, "hello");
    await ben.hears(channelId, "hello");
    await ben.say(channelId, "hello to you");
    await ann.hears(channelId, "hello to you");
    await Promise.all([ann.client.close(), ben.client.close()]);
  });
});

describe("an instance that is drained", () => {
  it("[D3] [R4] loses nothing, whatever its role, while people talk", async () => {
    const added = await Promise.all(roles.map((role) => own.cluster.add(role)));
    const dialogues = someDialogues(1).slice(0, 40);
    const urls = [...own.cluster.edgeUrls, added[0]!.address];
    let isOver = false;
    const replay = async () => {
      const options = { urls, concurrency: 16, seed: randomInt(1_000), stallMs: 120_000 };
      const { report, problems } = await replayDialogues(dialogues, options);
      expect(problems).toEqual([]);
      expect(report).toMatchObject(noFaults);
      expect(report.acknowledged).toBe(report.sent);
    };
    const drain = async () => {
      for (const process of added) await process.stop();
      isOver = true;
    };
    const talk = async () => {
      while (!isOver) await replay();
      await replay();
    };
    await Promise.all([talk(), drain()]);
  });
});
