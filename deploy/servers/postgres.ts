import { execFileSync } from "node:child_process";
import { chownSync, existsSync, mkdirSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { ConfigError } from "../../mesh/config.ts";
import { freePorts } from "./ports.ts";
import { serverPrograms } from "./provision.ts";
import { type ServerProcess, startServer } from "./server-process.ts";

/** A running PostgreSQL. */
export interface Postgres {
  /** "postgres://postgres@127.0.0.1:5432/parley" */
  readonly url: string;
  readonly process: ServerProcess;
  /** Starts it again after it has ended, on its folder and port. */
  restart(): Promise<void>;
}

const readyMsMax = 30_000;
/** It refuses to run as root. */
const user = "postgres";
const database = "parley";

/** Starts a server with a database of ours; everybody on this machine may use it. */
export async function startPostgres(options: {
  folder: string;
  port: number;
  /** Further ones: "ssl=on". */
  settings?: readonly string[];
}): Promise<Postgres> {
  const { settings = [] } = options;
  const folder = resolve(options.folder);
  const data = join(folder, "data");
  const port = options.port || (await freePorts(1))[0]!;
  const bin = serverPrograms().postgres;
  mkdirSync(folder, { recursive: true });
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    checkReachable(folder);
    chownSync(folder, idOf("-u"), idOf("-g"));
  }
  const runNow = (program: string, ...args: string[]) => {
    const asUser = isRoot
      ? ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--init-groups", "--"]
      : [];
    const [command, ...rest] = [...asUser, join(bin, program), ...args];
    execFileSync(command!, rest, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  };
  const connection = ["-h", "127.0.0.1", "-p", String(port), "-U", user];
  if (!existsSync(join(data, "PG_VERSION"))) {
    const encoding = ["--encoding=UTF8", "--locale=C.UTF-8"];
    runNow("initdb", "-D", data, "-A", "trust", "-U", user, "--no-sync", ...encoding);
  }
  const start = () =>
    startServer({
      name: "postgres",
      command: join(bin, "postgres"),
      args: [
        ...["-D", data, "-p", String(port), "-k", folder],
        ...["listen_addresses=127.0.0.1", ...settings].flatMap((setting) => ["-c", setting]),
      ],
      folder,
      user,
      async isReady() {
        runNow("pg_isready", "-q", ...connection);
        return true;
      },
      readyMsMax,
      // "Fast": connections are ended, not waited for.
      stopSignal: "SIGINT",
    });
  let server = await start();
  try {
    runNow("psql", ...connection, "-d", database, "-c", "select 1");
  } catch {
    runNow("createdb", ...connection, database);
  }
  return {
    url: `postgres://${user}@127.0.0.1:${port}/${database}`,
    get process() {
      return server;
    },
    async restart() {
      server = await start();
    },
  };
}

/** @throws ConfigError where the user can't enter one of the folders above. */
function checkReachable(folder: string): void {
  for (let above = dirname(folder); above !== dirname(above); above = dirname(above)) {
    if (statSync(above).mode & 0o001) continue;
    throw new ConfigError(
      `PostgreSQL does not run as root, and its user ${user} may not enter ${above}: ` +
        "choose another folder (PARLEY_DATA_DIR)",
    );
  }
}

function idOf(which: "-u" | "-g"): number {
  return Number(execFileSync("id", [which, user], { encoding: "utf8" }));
}
