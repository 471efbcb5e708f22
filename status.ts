/** `parley status`: the instances of a mesh as Consul sees them, and what each is doing. */
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "./mesh/clock.ts";
import { parseConfig } from "./mesh/config.ts";
import { ConsulClient, type ConsulServiceState } from "./mesh/consul-client.ts";
import { serversConfig } from "./servers-config.ts";

/** Between two looks at an instance's metrics. */
const intervalMs = 1_000;
const metricsTimeoutMs = 2_000;

/** Prints a table. @returns 0; 1 where an instance is not healthy, or there is none. */
export async function status(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const { consulUrl, consulToken } = serversConfig;
  const config = parseConfig({ consulUrl, consulToken }, environment);
  const consul = new ConsulClient({
    url: config.consulUrl,
    token: config.consulToken,
    clock: systemClock,
  });
  const names = (await consul.listServiceNames()).filter((name) => name.startsWith("parley."));
  const states = (await Promise.all(names.map((name) => consul.serviceStates(name)))).flat();
  const loads = await Promise.all(states.map(({ metadata }) => readLoad(metadata.metrics_url)));
  const rows = states.map((state, i) => [...describe(state), loads[i]!]);
  console.log(table([["SERVICE", "INSTANCE", "ADDRESS", "HEALTH", "LOAD"], ...rows]));
  return states.length > 0 && states.every(({ isHealthy }) => isHealthy) ? 0 : 1;
}

function describe({ id, address, port, isHealthy }: ConsulServiceState): string[] {
  const [service, instance] = id.split(":");
  const place = port === 0 ? "-" : `${address}:${port}`;
  return [service!, instance ?? "-", place, isHealthy ? "passing" : "failing"];
}

/** CPU and memory of the process, and what it has open: of several roles in one, of all. */
async function readLoad(metricsUrl: string | undefined): Promise<string> {
  if (!metricsUrl) return "not told";
  try {
    const before = await readMetrics(metricsUrl);
    await sleep(intervalMs);
    const after = await readMetrics(metricsUrl);
    const value = (name: string) => after.get(name) ?? 0;
    const cpuName = "process_cpu_seconds_total";
    const cpu = ((value(cpuName) - (before.get(cpuName) ?? 0)) * 100_000) / intervalMs;
    const memory = value("process_resident_memory_bytes") / 1e6;
    const connections = after.get("parley_edge_connections");
    const open =
      connections === undefined
        ? `${value("parley_rpc_in_flight")} calls`
        : `${connections} connections`;
    return `${cpu.toFixed(0)} % CPU, ${memory.toFixed(0)} MB, ${open}`;
  } catch {
    return "does not answer";
  }
}

/** The metrics without labels, by name. */
async function readMetrics(url: string): Promise<Map<string, number>> {
  const response = await fetch(url, { signal: AbortSignal.timeout(metricsTimeoutMs) });
  const lines = (await response.text()).split("\n");
  const pairs = lines.map((line) => /^(\w+) (\S+)$/.exec(line)).filter((match) => match !== null);
  return new Map(pairs.map(([, name, value]) => [name!, Number(value)]));
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd();
  return rows.map(line).join("\n");
}
