/** `parley replay`: plays dialogues from a file to a server and checks what became of them. */
import { randomInt } from "node:crypto";
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { allWays, type Way } from "../sdk/index.ts";
import { faultKinds } from "./replay-check.ts";
import { parseDialogues, ReplayInputError } from "./replay-dialogues.ts";
import { type ReplayOptions, replayDialogues } from "./replay-run.ts";

const concurrencyDefault = 32;
const concurrencyMax = 1_000;
const seedMax = 2 ** 31 - 1;

/**
 * Runs the command. The last line on standard output is the report as JSON; all else goes to
 * standard error.
 * @returns 0: no fault was found; 1: some were; 2: the arguments or the file are of no use
 */
export async function replay(args: string[]): Promise<number> {
  try {
    const { file, limit, ...options } = parseReplayArgs(args);
    const dialogues = parseDialogues(await readText(file), limit);
    console.error(`replaying ${dialogues.length} dialogues, --seed ${options.seed}`);
    const { report, problems } = await replayDialogues(dialogues, options);
    for (const problem of problems) console.error(problem);
    console.log(JSON.stringify(report));
    return faultKinds.every((kind) => report[kind] === 0) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof ReplayInputError)) throw error;
    console.error(`parley replay: ${error.message}`);
    return 2;
  }
}

interface ReplayArgs extends ReplayOptions {
  file: string;
  limit: number;
}

/** @throws ReplayInputError */
export function parseReplayArgs(args: string[]): ReplayArgs {
  const { values, positionals } = parseOptions(args);
  const [file] = positionals;
  if (file === undefined || positionals.length > 1) {
    throw new ReplayInputError(`one FILE is expected, not ${positionals.length}`);
  }
  const urls = values.url.split(",");
  for (const url of urls) {
    if (!URL.canParse(url)) throw new ReplayInputError(`--url ${url} is no URL`);
  }
  const { stderr } = process;
  return {
    file,
    urls,
    limit: integer("limit", values.limit, 1, Number.MAX_SAFE_INTEGER),
    concurrency: integer("concurrency", values.concurrency, 1, concurrencyMax),
    seed: integer("seed", values.seed, 0, seedMax),
    way: transport(values.transport),
    changedShare: integer("changes", values.changes, 0, 100) / 100,
    drawProgress: stderr.isTTY ? (text) => void stderr.write(text) : undefined,
  };
}

function parseOptions(args: string[]) {
  const option = (value: string) => ({ type: "string", default: value }) as const;
  const options = {
    url: option("http://localhost:8080"),
    limit: option(String(Number.MAX_SAFE_INTEGER)),
    concurrency: option(String(concurrencyDefault)),
    seed: option(String(randomInt(seedMax))),
    transport: option("websocket"),
    changes: option("0"),
  };
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    throw new ReplayInputError((error as Error).message);
  }
}

function transport(name: string): Way {
  const way = allWays.find((each) => each === name);
  if (way) return way;
  throw new ReplayInputError(`--transport ${name} is none of ${allWays.join(", ")}`);
}

function integer(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= min && value <= max) return value;
  throw new ReplayInputError(`--${name} ${text} is no whole number from ${min} to ${max}`);
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new ReplayInputError((error as Error).message);
  }
}
