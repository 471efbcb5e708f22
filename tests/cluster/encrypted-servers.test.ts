/** Servers that want a password and encrypt: what OPERATIONS.md says of them is enough. */
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { type Cassandra, startCassandra } from "../../deploy/servers/cassandra.ts";
import { type Consul, startConsul } from "../../deploy/servers/consul.ts";
import { type Nats, startNats } from "../../deploy/servers/nats.ts";
import { type Postgres, startPostgres } from "../../deploy/servers/postgres.ts";
import { Supervised } from "../../deploy/supervised.ts";
import { lostMsMax, startMsMax } from "./own-cluster.ts";

vi.setConfig({ testTimeout: lostMsMax });

const folder = mkdtempSync(join(tmpdir(), "parley-tls-"));
const path = (name: string) => join(folder, name);
let nats: Nats;
let cassandra: Cassandra;
let postgres: Postgres;
let consul: Consul;
let environment: Record<string, string>;

beforeAll(async () => {
  // PostgreSQL's user goes through it.
  chmodSync(folder, 0o711);
  makeCertificates();
  const tls = `cert_file: "${path("server.crt")}", key_file: "${path("server.key")}"`;
  [nats, cassandra, postgres, consul] = await Promise.all([
    startNats({
      ...{ folder: path("nats"), port: 0, nodes: 1, sync: "default" },
      settings: `tls { ${tls} }\nauthorization { user: parley, password: secret }\n`,
    }),
    startCassandra({
      ...{ folder: path("cassandra"), port: 0 },
      settings: `authenticator: PasswordAuthenticator
client_encryption_options:
  enabled: true
  keystore: ${path("server.p12")}
  keystore_password: changeit
  store_type: PKCS12
`,
    }),
    startPostgres({
      ...{ folder: path("postgres"), port: 0 },
      settings: [
        "ssl=on",
        `ssl_cert_file=${path("postgres.crt")}`,
        `ssl_key_file=${path("postgres.key")}`,
      ],
    }),
    startConsul({ folder: path("consul"), port: 0 }),
  ]);
  environment = {
    NODE_EXTRA_CA_CERTS: path("ca.crt"),
    PARLEY_MESH_SECRET: "a secret of thirty-two characters",
    PARLEY_METRICS_PORT: "0",
    PARLEY_CONSUL_URL: consul.url,
    // Its client checks the certificate for names, not for addresses.
    PARLEY_NATS_URL: nats.url.replace("nats://127.0.0.1", "tls://localhost"),
    PARLEY_NATS_USER: "parley",
    PARLEY_NATS_PASSWORD: "secret",
    PARLEY_CASSANDRA_ADDRESS: cassandra.address,
    PARLEY_CASSANDRA_TLS: "on",
    PARLEY_CASSANDRA_USER: "cassandra",
    PARLEY_CASSANDRA_PASSWORD: "cassandra",
    PARLEY_POSTGRES_URL: `${postgres.url}?sslmode=verify-full`,
  };
}, startMsMax);

afterAll(async () => {
  await nats?.stop();
  await Promise.all([cassandra, postgres, consul].map((each) => each?.process.stop()));
  rmSync(folder, { recursive: true, force: true });
}, startMsMax);

/** An authority, and a certificate of it for this machine, in the forms that the servers read. */
function makeCertificates(): void {
  const openssl = (...args: string[]) =>
    execFileSync("openssl", args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
  openssl(...request, "-subj", "/CN=Parley", "-keyout", "ca.key", "-out", "ca.crt");
  const signed = [
    "-CA",
    "ca.crt",
    "-CAkey",
    "ca.key",
    "-addext",
    "subjectAltName=DNS:localhost,IP:127.0.0.1",
  ];
  const server = ["-subj", "/CN=server", "-keyout", "server.key", "-out", "server.crt"];
  openssl(...request, ...signed, ...server);
  const pair = ["-in", "server.crt", "-inkey", "server.key"];
  openssl("pkcs12", "-export", ...pair, "-out", "server.p12", "-passout", "pass:changeit");
  // PostgreSQL wants the key for itself.
  copyFileSync(path("server.crt"), path("postgres.crt"));
  copyFileSync(path("server.key"), path("postgres.key"));
  chmodSync(path("postgres.key"), 0o600);
  if (process.getuid?.() !== 0) return;
  const id = (which: string) => Number(execFileSync("id", [which, "postgres"]));
  for (const name of ["postgres.key", "postgres.crt"]) chownSync(path(name), id("-u"), id("-g"));
}

function start(role: string, changes: Record<string, string>, log: string[]) {
  return new Supervised({
    role,
    environment: { ...process.env, ...environment, ...changes },
    onLog: (line) => log.push(line),
  });
}

it.for(["message", "session"])("[O3] %s works over TLS and signs in", async (role) => {
  await using started = start(role, {}, []);
  await started.ready();
});

it.for([
  ["PARLEY_NATS_PASSWORD", "wrong", /NATS can't be reached at tls:.*Authorization Violation/],
  ["NODE_EXTRA_CA_CERTS", "", /NATS can't be reached at tls:.*certificate/],
] as const)("[O3] no role starts with another %s, and says why", async ([setting, value, why]) => {
  const log: string[] = [];
  await using started = start("session", { [setting]: value }, log);
  await expect(started.ready()).rejects.toThrow();
  expect(log.join("\n")).toMatch(why);
});
