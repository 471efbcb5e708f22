/** The commands of docs/HTTP.md, run as they stand there. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type ParleyProcess, startParley } from "./parley-process.ts";

vi.setConfig({ testTimeout: 120_000 });

const page = readFileSync(join(import.meta.dirname, "../docs/HTTP.md"), "utf8");
const blocks = [...page.matchAll(/^```(sh|output)\n(.*?)^```$/gms)].map((match) => ({
  kind: match[1]!,
  text: match[2]!,
}));

let parley: ParleyProcess;
beforeAll(async () => {
  parley = await startParley();
});
afterAll(() => parley.stop());

describe("docs/HTTP.md", () => {
  it("[O4] has commands that print what it says", async () => {
    const textOf = (kind: string) =>
      blocks.flatMap((block) => (block.kind === kind ? [block.text] : [])).join("");
    const { stdout } = await promisify(execFile)("bash", ["-euo", "pipefail", "-c", textOf("sh")], {
      env: { ...process.env, PARLEY: parley.url },
      timeout: 100_000,
    });
    expect(stdout).toBe(textOf("output"));
  });
});
