/** Streams on three NATS servers: the suite of the port, and what a server's death may do. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Nats, startNats } from "../../deploy/servers/nats.ts";
import { streamsContract } from "../../mesh/streams.contract.ts";
import {
  AppendOutcomeUnknown,
  type Stream,
  type StreamEntry,
  StreamUnavailable,
} from "../../mesh/streams.ts";
import { openNatsStreams } from "../../mesh/streams-nats.ts";
import {
  dropNatsStreams,
  natsTestOptions,
  pass,
  until,
} from "../../mesh/streams-nats-under-test.ts";
import { bytes, text } from "../../mesh/streams-under-test.ts";

const folder = mkdtempSync(join(tmpdir(), "parley-nats-cluster-"));
let nats: Nats;
beforeAll(async () => {
  nats = await startNats({ folder, port: 0, nodes: 3, sync: "default" });
});
afterAll(async () => {
  await nats?.stop();
  rmSync(folder, { recursive: true, force: true });
});

streamsContract("NATS JetStream, three servers", async (retention) => {
  const options = { ...natsTestOptions(nats.url), retention, replicas: 3 };
  return {
    open: () => openNatsStreams(options),
    pass,
    dispose: () => dropNatsStreams(nats.url, options.prefix),
  };
});

describe("NATS streams on three servers", () => {
  it("say what an acknowledgement means", async () => {
    const options = natsTestOptions(nats.url);
    const monitorUrls = nats.nodes.map(({ monitorUrl }) => monitorUrl);
    const streams = await openNatsStreams({ ...options, replicas: 3, monitorUrls });
    expect(streams.ackMeaning.text).toMatch(/^on 3 servers, on disk within 120 s/);
    await streams.close();
    await dropNatsStreams(nats.url, options.prefix);
  });

  it("[M6] keep each acknowledged entry once and in order while servers die and return", async () => {
    const options = { ...natsTestOptions(nats.url), replicas: 3, timeoutMs: 2_000 };
    const streams = await openNatsStreams(options);
    const worked: string[] = [];
    streams.log.work({ name: "persist", batchMax: 50, onError() {} }, async (entries) => {
      worked.push(...entries.map((entry) => `${entry.subject} ${entry.sequence}`));
    });
    let ended = false;
    const writers = Array.from({ length: 8 }, (_, i) => new Writer(`channel-${i}`));
    const writing = writers.map((writer) => writer.write(streams.log, () => ended));
    for (const node of nats.nodes) {
      await pass(1_000);
      await node.process.signal("SIGKILL");
      await pass(1_000);
      await node.restart();
    }
    await pass(1_000);
    ended = true;
    await Promise.all(writing);
    for (const { subject, acknowledged, unknown } of writers) {
      const entries = await entriesOf(streams.log, subject);
      const stored = entries.map(text);
      expect(new Set(stored).size).toBe(stored.length);
      // What was refused is not there.
      expect(difference(stored, [...acknowledged, ...unknown])).toEqual([]);
      expect(stored.filter((each) => !unknown.has(each)).join()).toBe(acknowledged.join());
      expect(acknowledged.length).toBeGreaterThan(0);
      const names = entries.map(({ sequence }) => `${subject} ${sequence}`);
      await until(() => difference(names, worked).length === 0);
    }
    await streams.close();
    await dropNatsStreams(nats.url, options.prefix);
  }, 240_000);
});

/** All that the leader has of a subject. After a server's return there may be none for a while. */
async function entriesOf(log: Stream, subject: string): Promise<StreamEntry[]> {
  const entries: StreamEntry[] = [];
  for (let more = true; more; ) {
    const fromSequence = (entries.at(-1)?.sequence ?? 0) + 1;
    const page = await log.read(subject, { fromSequence, fromLeader: true }).catch(unlessAway);
    entries.push(...(page?.entries ?? []));
    more = page?.more ?? true;
  }
  return entries;
}

function unlessAway(error: unknown): undefined {
  if (!(error instanceof StreamUnavailable)) throw error;
}

function difference(of: readonly string[], without: readonly string[]): string[] {
  const known = new Set(without);
  return of.filter((each) => !known.has(each));
}

/** Appends to one subject as a channel's writer does: each entry names the one that it follows. */
class Writer {
  readonly subject: string;
  readonly acknowledged: string[] = [];
  /** Of these nobody was told that they are stored. */
  readonly unknown = new Set<string>();

  constructor(subject: string) {
    this.subject = subject;
  }

  async write(log: Stream, isEnded: () => boolean): Promise<void> {
    let expectedLastSequence: number | undefined;
    for (let i = 0; !isEnded(); i++) {
      const each = `${i}`;
      try {
        expectedLastSequence ??=
          (await log.last(this.subject, { fromLeader: true }))?.sequence ?? 0;
        expectedLastSequence = await log.append(this.subject, bytes(each), {
          expectedLastSequence,
        });
        this.acknowledged.push(each);
        // Enough to have some under way at any moment, few enough to be compared.
        await pass(5);
      } catch (error) {
        if (error instanceof AppendOutcomeUnknown) this.unknown.add(each);
        expectedLastSequence = undefined;
        await pass(20);
      }
    }
  }
}
