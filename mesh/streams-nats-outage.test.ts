/** What NATS streams do when the connection breaks. */
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { AppendOutcomeUnknown, type LiveMessage, StreamUnavailable } from "./streams.ts";
import { type NatsStreams, openNatsStreams } from "./streams-nats.ts";
import { dropNatsStreams, natsTestOptions, until } from "./streams-nats-under-test.ts";
import { bytes, text, textsOf } from "./streams-under-test.ts";
import { TcpProxy } from "./tcp-proxy.ts";

const { natsUrl } = inject("servers");
let proxy: TcpProxy;
let prefix: string;
let streams: NatsStreams;
/** A process with a connection of its own. */
let other: NatsStreams;
beforeEach(async () => {
  proxy = await TcpProxy.start(natsUrl.split(",")[0]!.replace("nats://", ""));
  const options = natsTestOptions(natsUrl);
  prefix = options.prefix;
  other = await openNatsStreams(options);
  const urls = [`nats://${proxy.address}`];
  streams = await openNatsStreams({ ...options, urls, timeoutMs: 1_000 });
});
afterEach(async () => {
  await streams.close();
  await other.close();
  await proxy.stop();
  await dropNatsStreams(natsUrl, prefix);
});

/** The error that it fails with. */
function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error) => error,
  );
}

async function away(): Promise<void> {
  proxy.cut();
  await until(async () => (await failure(streams.log.last("a"))) instanceof StreamUnavailable);
}

describe("NATS streams without a connection", () => {
  it("[M6] don't know of an append that is not answered, which may be stored", async () => {
    proxy.mute();
    expect(await failure(streams.log.append("a", bytes("1")))).toBeInstanceOf(AppendOutcomeUnknown);
    await until(async () => (await textsOf(other.log, "a")).length === 1);
  });

  it("[M6] don't know of an append that is under way when the connection breaks", async () => {
    proxy.mute();
    const appended = failure(streams.log.append("a", bytes("1")));
    await until(async () => (await textsOf(other.log, "a")).length === 1);
    proxy.cut();
    expect(await appended).toBeInstanceOf(AppendOutcomeUnknown);
  });

  it("[R3] refuse at once while they are away, store nothing of it, and go on by themselves", async () => {
    await streams.log.append("a", bytes("1"));
    await away();
    const attempts = [
      streams.log.append("a", bytes("no")),
      streams.log.read("a"),
      streams.log.last("a", { fromLeader: true }),
      streams.log.lastSequences(["a"]),
      streams.log.checkpoint("persist", "a"),
      streams.log.trim({ olderThanMs: 0, workers: [] }),
      streams.deadLetters.count(),
      streams.subscribeInbox("a", () => {}),
    ];
    for (const each of attempts) expect(await failure(each)).toBeInstanceOf(StreamUnavailable);
    streams.publishInbox("a", bytes("lost"));
    const entry = { data: bytes("lost"), sequence: 1, prevSequence: 0 };
    expect(() => streams.publishLog("a", entry)).toThrow(StreamUnavailable);
    proxy.restore();
    await until(async () => (await failure(streams.log.last("a"))) === undefined);
    await streams.log.append("a", bytes("2"));
    expect(await textsOf(other.log, "a")).toEqual(["1", "2"]);
  });

  it("[R3] let workers pause, and go on with what was stored meanwhile", async () => {
    const given: string[] = [];
    streams.log.work({ name: "persist", batchMax: 10, onError() {} }, async (entries) => {
      given.push(...entries.map(text));
    });
    await streams.log.append("a", bytes("1"));
    await until(() => given.length === 1);
    await away();
    await other.log.append("a", bytes("2"));
    proxy.restore();
    await until(() => given.includes("2"));
    await other.log.append("a", bytes("3"));
    await until(() => given.includes("3"));
    expect([...new Set(given)]).toEqual(["1", "2", "3"]);
  });

  it("[R3] hand the work of a process that is cut off to another", async () => {
    const given: string[] = [];
    const work = (of: NatsStreams, name: string) =>
      of.log.work({ name: "persist", batchMax: 10, onError() {} }, async (entries) => {
        given.push(...entries.map((entry) => `${name} ${text(entry)}`));
      });
    work(streams, "first");
    await streams.log.append("a", bytes("1"));
    await until(() => given.length === 1);
    await away();
    work(other, "second");
    await other.log.append("a", bytes("2"));
    await until(() => given.includes("second 2"));
    proxy.restore();
    await until(async () => (await failure(streams.log.last("a"))) === undefined);
    await other.log.append("a", bytes("3"));
    await until(() => given.some((each) => each.endsWith("3")));
    expect(given.at(-1)).toBe("second 3");
  });

  it("[S2] lose live entries, by whose sequences a subscriber sees it, and hear later ones", async () => {
    const heard: LiveMessage[] = [];
    await streams.subscribeInbox("a", (message) => heard.push(message));
    const first = await other.inbox.append("a", bytes("1"));
    await until(() => heard.length === 1);
    await away();
    const lost = await other.inbox.append("a", bytes("2"));
    proxy.restore();
    await until(async () => (await failure(streams.log.last("a"))) === undefined);
    expect(streams.interruptions).toBeGreaterThan(0);
    const last = await other.inbox.append("a", bytes("3"));
    await until(() => heard.length === 2);
    expect(heard.map(({ sequence, prevSequence }) => [sequence, prevSequence])).toEqual([
      [first, 0],
      [last, lost],
    ]);
  });

  it("close all the same", async () => {
    streams.log.work({ name: "persist", batchMax: 10, onError() {} }, async () => {});
    await streams.subscribeInbox("a", () => {});
    await away();
    await streams.close();
    expect(await failure(streams.log.append("a", bytes("1")))).toBeInstanceOf(StreamUnavailable);
  });
});
