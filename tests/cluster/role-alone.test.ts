/** Each role by itself, where no other runs, and where something that it needs is not as it should be. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, it, vi } from "vitest";
import { type Consul, startConsul } from "../../deploy/servers/consul.ts";
import { freePorts } from "../../deploy/servers/ports.ts";
import { startRole } from "../parley-under-test.ts";

// Processes take their time to start on a busy machine, and wait up to 30 s for NATS.
vi.setConfig({ testTimeout: 180_000 });

const onCassandra = ["message", "worker", "presence"];
const onStreams = ["edge", "session", ...onCassandra];
const roles = ["idgen", ...onStreams];

const folder = mkdtempSync(join(tmpdir(), "parley-alone-"));
/** Of a mesh where nothing runs. */
let consul: Consul;
/** Nobody listens there. */
let nowhere: string;
beforeAll(async () => {
  consul = await startConsul({ folder, port: 0 });
  nowhere = `127.0.0.1:${(await freePorts(1))[0]}`;
});
afterAll(async () => {
  await consul?.process.stop();
  rmSync(folder, { recursive: true, force: true });
});

function startAlone(
  role: string,
  environment?: Record<string, string>,
  onLog?: (line: string) => void,
) {
  return startRole(role, { PARLEY_CONSUL_URL: consul.url, ...environment }, onLog);
}

it.for(roles)("[D1] %s starts where no other role runs", async (role) => {
  await using started = startAlone(role);
  await started.ready();
});

it("[K4] [O4] a role serves gRPC at the port that is set", async () => {
  const [port] = await freePorts(1);
  await using started = startAlone("idgen", { PARLEY_GRPC_PORT: String(port) });
  await started.ready();
  expect(started.address).toBe(`127.0.0.1:${port}`);
});

it.for([
  {
    where: "there is no Consul",
    of: onStreams,
    setting: () => ["PARLEY_CONSUL_URL", `http://${nowhere}`],
    says: () => nowhere,
  },
  {
    where: "there is no NATS",
    of: onStreams,
    setting: () => ["PARLEY_NATS_URL", `nats://${nowhere}`],
    says: () => nowhere,
  },
  {
    where: "there is no PostgreSQL",
    of: ["session"],
    setting: () => ["PARLEY_POSTGRES_URL", `postgres://postgres@${nowhere}/parley`],
    says: () => nowhere,
  },
  {
    where: "PostgreSQL has no such database",
    of: ["session"],
    setting: () => ["PARLEY_POSTGRES_URL", `${inject("servers").postgresUrl}x`],
    says: () => '"parleyx" does not exist',
  },
  {
    where: "Cassandra has no such data centre",
    of: onCassandra,
    setting: () => ["PARLEY_CASSANDRA_DATA_CENTER", "moon"],
    says: () => "localDataCenter was configured as 'moon'",
  },
  {
    where: "the streams have another number of copies",
    of: onStreams,
    setting: () => ["PARLEY_NATS_REPLICAS", "3"],
    says: () => "num_replicas is 1",
  },
  {
    where: "the streams are split into others",
    of: onStreams,
    setting: () => ["PARLEY_STREAM_SHARDS", "16"],
    says: () => 'shards is "8"',
  },
  {
    where: "the mesh's secret is none",
    of: roles,
    setting: () => ["PARLEY_MESH_SECRET", "short"],
    says: () => "PARLEY_MESH_SECRET",
  },
])("[D1] [O4] whoever needs it ends and says why where $where", async ({ of, setting, says }) => {
  const [name, value] = setting();
  const refused = async (role: string) => {
    await using started = startAlone(role, { [name!]: value! });
    const why = await started.ready().then(() => "it has started", String);
    expect(why).toContain("ended with 1");
    expect(why).toContain(says());
    // A stack is for bugs.
    expect(why).not.toMatch(/^ +at /m);
  };
  await Promise.all(of.map(refused));
});

/** Starts a role; resolves with the first line of its log about an event. */
async function firstLogged(
  role: string,
  environment: Record<string, string>,
  event: string,
): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const look = (line: string) => line.includes(`"${event}"`) && resolve(line);
  await using _ = startAlone(role, environment, look);
  return await promise;
}

it("[R2] [O4] message, worker and presence go on trying and say so where there is no Cassandra", async () => {
  const waits = async (role: string) => {
    const environment = { PARLEY_CASSANDRA_ADDRESS: nowhere };
    expect(await firstLogged(role, environment, "cassandra_not_connected")).toContain(nowhere);
  };
  await Promise.all(onCassandra.map(waits));
});

it("[D1] [O4] idgen, which has no worker id without Consul, waits for it and says so", async () => {
  const environment = { PARLEY_CONSUL_URL: `http://${nowhere}` };
  expect(await firstLogged("idgen", environment, "worker_id_not_leased")).toContain(nowhere);
});
