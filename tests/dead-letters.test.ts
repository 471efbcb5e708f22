import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { deadLetters } from "../dead-letters.ts";
import { systemClock as clock } from "../mesh/clock.ts";
import { lockFolder } from "../mesh/folder-lock.ts";
import { openLmdbStreams } from "../mesh/streams-lmdb.ts";

describe("parley dead-letters --embedded", () => {
  let folder: string;
  let printed: string[];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "parley-letters-"));
    printed = [];
    vi.spyOn(console, "log").mockImplementation((line) => void printed.push(line));
  });
  afterEach(() => {
    vi.restoreAllMocks();
    rmSync(folder, { recursive: true });
  });
  const run = () => deadLetters(["--embedded"], { PARLEY_DATA_DIR: folder });

  it("[O2] prints what was put aside, where and why, and nothing of what it says", async () => {
    const streams = await openLmdbStreams({ path: join(folder, "streams"), clock });
    const [worker, stream, epoch] = ["persist", "log", streams.log.epoch("g-1")];
    const letters = Array.from({ length: 101 }, (_, i) => {
      return { sequence: i + 1, subject: "g-1", data: Buffer.from("a secret") };
    });
    for (const entry of letters) {
      await streams.deadLetters.park({ worker, stream, epoch, entry, reason: "premature EOF" });
    }
    await streams.close();
    expect(await run()).toBe(1);
    const lines = printed.map((line) => JSON.parse(line));
    expect(lines).toHaveLength(letters.length);
    expect(lines).toContainEqual({
      ...{ worker, stream, epoch, sequence: 101, subject: "g-1", reason: "premature EOF" },
    });
  });

  it("[O2] prints nothing where there are none", async () => {
    expect(await run()).toBe(0);
    expect(printed).toEqual([]);
  });

  it("[O4] leaves a folder alone that a process uses", async () => {
    const lock = lockFolder(folder);
    await expect(run()).rejects.toThrow(`${folder} is in use`);
    lock.release();
  });
});
