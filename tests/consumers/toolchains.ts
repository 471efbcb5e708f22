/**
 * Builds the programs in other languages from the contracts, once for each state of their sources,
 * under ${XDG_CACHE_HOME:-~/.cache}/parley/consumers. A toolchain that is missing is an error.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

/** How to start a program: what comes before its own arguments. */
export type Command = readonly [program: string, ...args: string[]];

/** The same two programs in each language. */
export interface Consumers {
  bot: Command;
  wsclient: Command;
}

/** A first build downloads modules and compiles them; measured: 2 minutes on two busy cores. */
export const buildMsMax = 600_000;

const root = join(import.meta.dirname, "../..");
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "parley/consumers");
const buf = ["--yes", "--package=@bufbuild/buf@1.75.0", "buf"];
const grpcurlVersion = "v1.9.4";
/** Builds of one kind that are kept: those used last. */
const buildsMax = 3;

/** The Go programs of examples/go. */
export async function buildGo(): Promise<Consumers> {
  const folder = await cached("go", ["examples/go/**/*", "proto/**/*.proto"], async (target) => {
    const source = join(target, "source");
    const filter = (path: string) => isSource(path);
    cpSync(join(root, "examples/go"), source, { recursive: true, filter });
    const proto = join(root, "proto");
    await run("npx", [...buf, "generate", proto, "--path", join(proto, "parley")], source);
    await run("go", ["build", "-o", `${target}/`, "./bot", "./wsclient"], source);
    rmSync(source, { recursive: true });
  });
  return { bot: [join(folder, "bot")], wsclient: [join(folder, "wsclient")] };
}

/** The Python programs of examples/python, with an environment of their own. */
export async function buildPython(): Promise<Consumers> {
  const environment = await cached("venv", ["examples/python/requirements.txt"], async (target) => {
    await run("python3", ["-m", "venv", target], root);
    const requirements = join(root, "examples/python/requirements.txt");
    await run(join(target, "bin/python"), ["-m", "pip", "install", "-q", "-r", requirements], root);
  });
  const python = join(environment, "bin/python");
  const sources = ["examples/python/*", "proto/**/*.proto"];
  const folder = await cached("python", sources, async (target) => {
    for (const file of globSync("examples/python/*.py", { cwd: root })) {
      cpSync(join(root, file), join(target, file.split("/").at(-1)!));
    }
    await run(python, ["generate.py", join(root, "proto"), join(target, "gen")], target);
  });
  return { bot: [python, join(folder, "bot.py")], wsclient: [python, join(folder, "wsclient.py")] };
}

/** A client that knows no contract but what reflection tells it. */
export async function buildGrpcurl(): Promise<string> {
  const folder = await cached(`grpcurl-${grpcurlVersion}`, [], async (target) => {
    const program = `github.com/fullstorydev/grpcurl/cmd/grpcurl@${grpcurlVersion}`;
    await run("go", ["install", program], target, { GOBIN: target, CGO_ENABLED: "0" });
  });
  return join(folder, "grpcurl");
}

/** The folder that `build` has filled, now or earlier, for these contents of the files. */
async function cached(
  kind: string,
  patterns: readonly string[],
  build: (target: string) => Promise<void>,
): Promise<string> {
  const hash = createHash("sha256");
  for (const file of globSync([...patterns], { cwd: root })
    .filter(isSource)
    .sort()) {
    if (!statSync(join(root, file)).isFile()) continue;
    hash
      .update(file)
      .update("\0")
      .update(readFileSync(join(root, file)))
      .update("\0");
  }
  const folder = join(cache, `${kind}-${hash.digest("hex").slice(0, 16)}`);
  if (!existsSync(folder)) {
    // Put in its place as a whole, so that what is there is complete.
    const target = `${folder}.${process.pid}`;
    mkdirSync(target, { recursive: true });
    try {
      await build(target);
      if (!existsSync(folder)) renameSync(target, folder);
    } finally {
      rmSync(target, { recursive: true, force: true });
    }
  }
  utimesSync(folder, new Date(), new Date());
  prune(kind);
  return folder;
}

/** Neither a document nor what somebody has generated or installed beside the sources. */
function isSource(path: string): boolean {
  return !/\/(gen|\.venv|__pycache__)(\/|$)|\.md$/.test(path.replace(root, ""));
}

function prune(kind: string): void {
  const age = (folder: string) => -statSync(join(cache, folder)).mtimeMs;
  const builds = globSync(`${kind}-${"[0-9a-f]".repeat(16)}`, { cwd: cache });
  const old = builds.sort((a, b) => age(a) - age(b)).slice(buildsMax);
  for (const folder of old) rmSync(join(cache, folder), { recursive: true, force: true });
}

/** @throws Error that names the toolchain that is missing, or with what the command said */
async function run(
  command: string,
  args: readonly string[],
  cwd: string,
  environment: Record<string, string> = {},
): Promise<void> {
  try {
    const env = { ...process.env, ...environment };
    await promisify(execFile)(command, args, { cwd, env, timeout: buildMsMax });
  } catch (error) {
    const { code, stderr } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === "ENOENT") {
      throw new Error(`${command} is not installed: programs in other languages need it`);
    }
    throw new Error(`${command} ${args.join(" ")} failed:\n${stderr}`, { cause: error });
  }
}
