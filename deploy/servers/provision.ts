/**
 * The servers' programs, made once for all checkouts of a machine: NATS and Consul are built by
 * Go from the versions and checksums of the modules beside this file, Cassandra's libraries come
 * through Maven, PostgreSQL from the system's packages.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const here = import.meta.dirname;

/** Where the programs are. */
export interface ServerPrograms {
  nats: string;
  consul: string;
  /** The folder that has "lib". */
  cassandra: string;
  /** The folder that has initdb, postgres, psql. */
  postgres: string;
}

/** Where programs are kept, for all checkouts of a machine. */
export function programsFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "parley", "servers");
}

/** The programs' places, whether they are there or not. */
export function serverPrograms(): ServerPrograms {
  const folder = programsFolder();
  return {
    nats: join(folder, "nats-server-2.15.2"),
    consul: join(folder, "consul-1.22.5"),
    cassandra: join(folder, "cassandra-5.0.6"),
    postgres: postgresFolder(),
  };
}

/**
 * Makes what is missing, saying what and how long it takes.
 * @throws Error that names the tool that is missing, or shows what it said.
 */
export async function provisionServers(report: (line: string) => void): Promise<void> {
  const { nats, consul, cassandra, postgres } = serverPrograms();
  const make = (path: string, what: string, build: Build) => makeOnce(path, what, build, report);
  await make(nats, "building NATS 2.15.2 (once, about half a minute)", (to) =>
    goBuild("nats", "github.com/nats-io/nats-server/v2", to),
  );
  await make(cassandra, "fetching Cassandra 5.0.6 (once, 66 MB)", (to) =>
    tool("mvn", [
      ...["-q", "-B", "--strict-checksums", "-f", join(here, "cassandra")],
      ...["dependency:copy-dependencies", `-DoutputDirectory=${join(to, "lib")}`],
    ]),
  );
  await make(postgres, "installing PostgreSQL (once, about half a minute)", installPostgres);
  await make(consul, "building Consul 1.22.5 (once, about 6 minutes)", (to) =>
    goBuild("consul", "github.com/hashicorp/consul", to),
  );
}

/** Makes a program that is missing, saying what and how long it takes. @throws what `build` does */
export async function makeOnce(
  path: string,
  what: string,
  build: Build,
  report: (line: string) => void,
): Promise<void> {
  if (existsSync(path)) return;
  report(`${what}…`);
  const startMs = Date.now();
  // Built aside, so that what is in its place is complete.
  const aside = `${path}.${process.pid}`;
  mkdirSync(join(path, ".."), { recursive: true });
  try {
    await build(aside);
    if (!existsSync(path)) renameSync(aside, path);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
  report(`  done in ${Math.round((Date.now() - startMs) / 1_000)} s`);
}

/** Makes a file or folder of this name. */
type Build = (to: string) => Promise<unknown>;

function goBuild(module: string, program: string, to: string): Promise<unknown> {
  const flags = ["-mod=readonly", "-trimpath", "-ldflags=-s -w"];
  return tool("go", ["build", "-C", join(here, module), ...flags, "-o", to, program], {
    CGO_ENABLED: "0",
  });
}

/** Debian's way, without the server that the package would start for itself. */
async function installPostgres(): Promise<void> {
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) {
    throw new Error("PostgreSQL 15 or later is missing: install it, with its programs in the PATH");
  }
  const quiet = { DEBIAN_FRONTEND: "noninteractive" };
  const install = (name: string) =>
    tool("apt-get", ["install", "-y", "--no-install-recommends", name], quiet);
  await tool("apt-get", ["update"], quiet);
  await install("postgresql-common");
  const settings = "/etc/postgresql-common/createcluster.conf";
  await tool("sed", ["-i", "s/^#\\?create_main_cluster.*/create_main_cluster = false/", settings]);
  await install("postgresql");
}

/** The newest of Debian's, or where the PATH has it. */
function postgresFolder(): string {
  const root = "/usr/lib/postgresql";
  const versions = existsSync(root) ? readdirSync(root).map(Number).filter(Number.isFinite) : [];
  const newest = Math.max(15, ...versions);
  const paths = [join(root, String(newest), "bin"), ...(process.env.PATH ?? "").split(delimiter)];
  return paths.find((path) => existsSync(join(path, "initdb"))) ?? paths[0]!;
}

const outputBytesMax = 64 * 1024 * 1024;

/** Runs a tool of the system. @throws Error that names it if it is missing, or shows what it said */
export async function tool(
  name: string,
  args: readonly string[],
  environment: Record<string, string> = {},
  folder?: string,
): Promise<void> {
  const env = { ...process.env, ...environment };
  try {
    await run(name, args, { env, maxBuffer: outputBytesMax, ...(folder && { cwd: folder }) });
  } catch (error) {
    const { code, stderr, message } = error as Error & { code?: string; stderr?: string };
    if (code === "ENOENT")
      throw new Error(`${name} is missing: install it (${tools[name] ?? name})`);
    throw new Error(`${name} ${args.join(" ")}: ${stderr?.slice(-2_000) || message}`);
  }
}

const tools: Record<string, string> = { go: "Go 1.26 or later", mvn: "Maven 3.8 and Java 17" };
