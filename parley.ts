/** The command line: `npm run --silent parley -- <command>`. */
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { roleNames } from "./roles.ts";

/** What is compiled for one start is there for the next: a third of a cluster's. */
enableCompileCache(join(import.meta.dirname, "node_modules/.cache/node"));

interface Command {
  summary: string;
  /** Resolves with the exit code. */
  run(args: string[]): Promise<number>;
}

const commands: Record<string, Command> = {
  run: {
    summary: "every role in one process, data in PARLEY_DATA_DIR (default ./data)",
    run: async () => (await import("./run.ts")).run(process.env),
  },
  ...Object.fromEntries(
    roleNames.map((role) => [
      role,
      {
        summary: "this role alone, on Consul, NATS, Cassandra and PostgreSQL",
        run: async () => (await import("./role.ts")).runRole(role, process.env),
      },
    ]),
  ),
  servers: {
    summary: "those four on this machine, made if missing",
    run: async () => (await import("./deploy/servers/main.ts")).servers(process.env),
  },
  cluster: {
    summary: "those four and two instances of each role, on this machine",
    run: async () => (await import("./deploy/cluster-command.ts")).cluster(process.env),
  },
  status: {
    summary: "the instances that Consul knows, their health and load",
    run: async () => (await import("./status.ts")).status(process.env),
  },
  "dead-letters": {
    summary: "what workers have put aside [--embedded: in PARLEY_DATA_DIR, else on NATS]",
    run: async (args) => (await import("./dead-letters.ts")).deadLetters(args, process.env),
  },
  rebuild: {
    summary: "search|store [--channel ID] [--embedded]: make anew what messages are found by",
    run: async (args) => (await import("./rebuild.ts")).rebuild(args, process.env),
  },
  chat: {
    summary: "talk with people in this terminal [--url http://localhost:8080] [--user NAME]",
    run: async (args) => (await import("./edge/cli/chat.ts")).chat(args),
  },
  replay: {
    summary:
      "FILE [--url …,…] [--limit N] [--concurrency N] [--seed N] [--changes PERCENT] [--transport websocket|sse|poll]: replay dialogues and check",
    run: async (args) => (await import("./edge/cli/replay.ts")).replay(args),
  },
  help: {
    summary: "this list",
    run: async () => {
      console.log(usage());
      return 0;
    },
  },
};

function usage(): string {
  const lines = Object.entries(commands).map(
    ([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`,
  );
  return `usage: npm run --silent parley -- <command>\n${lines.join("\n")}`;
}

/** Errors of settings and of what Parley needs around it. */
const mendable = [
  "RebuildInputError",
  "StoreUnavailable",
  "ConfigError",
  "FolderLocked",
  "ConsulError",
  "StreamUnavailable",
  "StreamSettingsDiffer",
  "SchemaMismatch",
  "StoreFormatDiffers",
  "MigrationMismatch",
];

/** Whether a person can mend it: it is said in words then. Anything else is a bug. */
function isMendable({ name, code, reason }: NodeJS.ErrnoException & { reason?: string }): boolean {
  return mendable.includes(name) || code === "EADDRINUSE" || reason === "UNAVAILABLE";
}

/** How long a process whose command has failed may take to end by itself. */
const endMsMax = 1_000;

const [given = "help", ...args] = process.argv.slice(2);
const name = given === "--help" || given === "-h" ? "help" : given;
const command = commands[name];
if (!command) {
  console.error(`parley: no command ${JSON.stringify(name)}\n${usage()}`);
  process.exitCode = 2;
} else {
  try {
    // Not exitCode: what a driver leaves behind must not keep the process.
    process.exit(await command.run(args));
  } catch (error) {
    const { message, stack } = error as Error;
    console.error(`parley ${name}: ${isMendable(error as Error) ? message : stack}`);
    process.exitCode = 1;
    // What had been started when something failed must not keep the process: it would neither
    // serve nor be started again.
    setTimeout(() => process.exit(), endMsMax).unref();
  }
}
