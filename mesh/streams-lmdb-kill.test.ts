import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { expect, it } from "vitest";
import { systemClock } from "./clock.ts";
import type { Stream, Streams } from "./streams.ts";
import { openLmdbStreams } from "./streams-lmdb.ts";

const writer = fileURLToPath(new URL("./streams-lmdb-kill-writer.ts", import.meta.url));

interface Told {
  stream: "log" | "inbox";
  subject: string;
  sequence: number;
  text: string;
}

/** What the writer tells before it is killed, after the given number of lines. */
async function toldUntilKilled(path: string, round: number, lines: number): Promise<Told[]> {
  const args = ["--disable-warning=ExperimentalWarning", writer, path, `${round}`];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const told: Told[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const [stream, subject, sequence, text] = line.split(" ");
    told.push({ stream, subject, sequence: Number(sequence), text } as Told);
    if (told.length === lines) child.kill("SIGKILL");
  }
  await exited;
  return told;
}

async function storedEntries(stream: Stream): Promise<Map<number, string>> {
  const stored = new Map<number, string>();
  for (const subject of ["a", "b", "c"]) {
    let fromSequence = 1;
    for (let more = true; more; ) {
      const page = await stream.read(subject, { fromSequence });
      for (const { sequence, data } of page.entries) {
        expect(stored.has(sequence)).toBe(false);
        stored.set(sequence, `${subject} ${Buffer.from(data)}`);
        fromSequence = sequence + 1;
      }
      more = page.more;
    }
  }
  return stored;
}

async function expectAllFound(streams: Streams, told: readonly Told[]): Promise<void> {
  for (const name of ["log", "inbox"] as const) {
    const stored = await storedEntries(streams[name]);
    for (const each of told.filter(({ stream }) => stream === name)) {
      expect(stored.get(each.sequence)).toBe(`${each.subject} ${each.text}`);
    }
    expect(await streams[name].checkpoint("persist", "a")).toBeLessThanOrEqual(
      Math.max(0, ...stored.keys()),
    );
  }
}

it("[M6] a kill at any moment loses nothing that was acknowledged or republished", async () => {
  const roundsOfLines = fc.array(fc.integer({ min: 1, max: 1_500 }), {
    minLength: 4,
    maxLength: 4,
  });
  await fc.assert(
    fc.asyncProperty(roundsOfLines, async (rounds) => {
      const path = await mkdtemp(join(tmpdir(), "parley-streams-kill-"));
      const told: Told[] = [];
      for (const [round, lines] of rounds.entries()) {
        told.push(...(await toldUntilKilled(path, round, lines)));
        const streams = await openLmdbStreams({ path, clock: systemClock });
        await expectAllFound(streams, told);
        await streams.close();
      }
      expect(told.length).toBeGreaterThanOrEqual(rounds.reduce((sum, lines) => sum + lines));
      await rm(path, { recursive: true });
    }),
    { numRuns: 1, endOnFailure: true },
  );
});
