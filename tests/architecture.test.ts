/** The rules of who imports whom, checked on the imports themselves. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "..");

interface Import {
  from: string;
  to: string;
}

const files = execFileSync(
  "git",
  ["ls-files", "--cached", "--others", "--exclude-standard", "*.ts"],
  {
    cwd: root,
    encoding: "utf8",
  },
)
  .split("\n")
  .filter((file) => file !== "" && !file.startsWith("gen/"));

const imports: Import[] = files.flatMap((from) => {
  const source = readFileSync(join(root, from), "utf8");
  const pattern =
    /^(?:import|export)\s[^;]*?from\s+"([^"]+)"|^import\s+"([^"]+)"|import\("([^"]+)"\)/gm;
  return [...source.matchAll(pattern)].map((match) => {
    const target = (match[1] ?? match[2] ?? match[3])!;
    return { from, to: target.startsWith(".") ? normalize(join(dirname(from), target)) : target };
  });
});

const isTest = (file: string) => /\.(test|contract)\.ts$/.test(file);

/** The room of a file: its top folder; for services and the edge's parts one deeper. */
function room(file: string): string {
  const parts = file.split("/");
  if (parts.length === 1) return "root";
  if (parts[0] === "services") return `services/${parts[1]}`;
  if (parts[0] === "edge" && parts.length > 2) return `edge/${parts[1]}`;
  return parts[0]!;
}

/** Rooms that a room may import from, besides itself and packages. */
const allowed: Record<string, readonly string[]> = {
  mesh: ["gen"],
  edge: ["mesh", "gen"],
  "edge/sdk": ["gen"],
  "edge/cli": ["edge/sdk", "mesh", "gen"],
  "services/idgen": ["mesh", "gen"],
  "services/message": ["mesh", "gen"],
  "services/presence": ["mesh", "gen"],
  "services/session": ["mesh", "gen"],
};

/** Packages that only files named after them import. */
const vendors: Record<string, RegExp> = {
  lmdb: /lmdb/,
  "@nats-io/transport-node": /nats/,
  "@nats-io/jetstream": /nats/,
  "cassandra-driver": /cassandra/,
  pg: /postgres/,
  "@electric-sql/pglite": /pglite/,
  ws: /^edge\//,
  yaml: /openapi/,
  "@grpc/grpc-js": /^mesh\/(serve|dial|duplex|status-details|instance-pool|method-definition)/,
  "@grpc/reflection": /^mesh\/serve/,
  "grpc-health-check": /^mesh\/serve/,
  cockatiel: /^mesh\//,
  pino: /^mesh\/logger/,
  "prom-client": /^mesh\/metrics/,
  "@node-rs/argon2": /^services\/session\//,
  jose: /access-token|apns-|stand-in|^services\/session\//,
  "web-push": /web-push/,
};

describe("architecture", () => {
  it("imports only what a room may import", () => {
    const bad = imports.filter(({ from, to }) => {
      const rules = allowed[room(from)];
      if (!rules || !to.includes("/") || to.startsWith("node:") || to.startsWith("@")) return false;
      if (!files.includes(to) && !to.startsWith("gen/")) return false;
      return (
        room(to) !== room(from) &&
        !rules.includes(room(to)) &&
        !(isTest(from) && room(to) === "mesh")
      );
    });
    expect(bad).toEqual([]);
  });

  it("imports a vendor's package only in the files that are about it", () => {
    const bad = imports.filter(({ from, to }) => {
      const vendor = vendors[to];
      return vendor && !isTest(from) && !/^(tests|bench)\//.test(from) && !vendor.test(from);
    });
    expect(bad).toEqual([]);
  });

  it("keeps Node out of the SDK, but for its entry of that name", () => {
    const ofNode = "edge/sdk/client-store-file.ts";
    const bad = imports.filter(({ from, to }) => {
      if (!from.startsWith("edge/sdk/") || isTest(from)) return false;
      return from !== ofNode && (to.startsWith("node:") || to === ofNode);
    });
    expect(bad).toEqual([]);
  });

  it("reads the environment only in composition roots", () => {
    const roots = /^[^/]+\.ts$|^(tests|bench|deploy|scripts)\/|^edge\/cli\//;
    const bad = files.filter(
      (file) =>
        !roots.test(file) &&
        !isTest(file) &&
        /process\.env/.test(readFileSync(join(root, file), "utf8")),
    );
    expect(bad).toEqual([]);
  });

  it("has no folder or file of odds and ends", () => {
    const bad = files.filter((file) =>
      /(^|[/-])(utils?|helpers?|common|managers?)([./-]|$)/.test(file),
    );
    expect(bad).toEqual([]);
  });

  it("has no cycle of imports", () => {
    const next = new Map<string, string[]>();
    for (const { from, to } of imports) next.set(from, [...(next.get(from) ?? []), to]);
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: string, path: string[]): void => {
      const at = path.indexOf(file);
      if (at >= 0) {
        cycles.push([...path.slice(at), file].join(" → "));
        return;
      }
      if (done.has(file)) return;
      for (const to of next.get(file) ?? []) visit(to, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(cycles).toEqual([]);
  });
});
