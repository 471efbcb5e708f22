import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, inject, it, vi } from "vitest";
import { IdGenService } from "../gen/parley/idgen/v1/idgen_service_pb.js";
import { systemClock } from "./clock.ts";
import { ConsulClient } from "./consul-client.ts";
import { type LogFields, silentLogger } from "./logger.ts";
import { Metrics } from "./metrics.ts";
import { registryContract } from "./registry.contract.ts";
import type { Instance, Registration, Watch } from "./registry.ts";
import { ConsulRegistry } from "./registry-consul.ts";
import { serve, served } from "./serve.ts";
import { TcpProxy } from "./tcp-proxy.ts";

const { consulUrl } = inject("servers");
const clock = systemClock;
const log = silentLogger;
const events: string[] = [];
const add = ({ event }: LogFields) => void events.push(event);
const eventLog = { debug: add, info: add, warn: add, error: add };
/** Changes are seen within this. */
const timeout = 15_000;

function newRegistry(url = consulUrl, servicePrefix = `test-${randomBytes(6).toString("hex")}-`) {
  const consul = new ConsulClient({ url, clock });
  return {
    consul,
    servicePrefix,
    registry: new ConsulRegistry({ consul, servicePrefix, clock, log: eventLog }),
  };
}

registryContract("ConsulRegistry", async () => {
  const { registry, servicePrefix } = newRegistry();
  const { registry: others } = newRegistry(consulUrl, servicePrefix);
  return { registry, others, close: async () => {} };
});

describe("ConsulRegistry", { timeout: 60_000 }, () => {
  const cleanUp: (() => unknown)[] = [];
  afterEach(async () => {
    for (const clean of cleanUp.splice(0).reverse()) await clean();
  });

  const keep = <T extends Registration | Watch>(made: T): T => {
    cleanUp.push(() => ("stop" in made ? made.stop() : made.deregister()));
    return made;
  };
  const watch = (registry: ConsulRegistry, service: string) => {
    const lists: (readonly Instance[])[] = [];
    keep(registry.watch(service, (instances) => void lists.push(instances)));
    const ids = () => lists.at(-1)?.map(({ instanceId }) => instanceId);
    const sees = (...expected: string[]) =>
      vi.waitFor(() => expect(ids()).toEqual(expected), { timeout });
    return { lists, sees };
  };
  const edge = (instanceId: string): Instance => {
    return { instanceId, service: "parley.edge", address: "127.0.0.1:1", metadata: {} };
  };

  it("[D1] an instance of gRPC is there while it answers health checks", async () => {
    const { registry } = newRegistry();
    const service = served(IdGenService, { reserveIds: async () => ({}) }, {});
    const listen = { host: "127.0.0.1", port: 0, services: [service] };
    const server = await serve({
      ...listen,
      meshSecret: "s3cret",
      clock,
      log,
      metrics: new Metrics(),
    });
    const { address } = server;
    const { typeName } = IdGenService;
    const watched = watch(registry, typeName);
    await watched.sees();
    const idgen = { instanceId: "idgen-1", service: typeName, address, metadata: {} };
    keep(await registry.register(idgen));
    await watched.sees("idgen-1");
    await server.drain(0);
    await watched.sees();
  });

  it("[D1] an instance of gRPC that nobody serves is never there", async () => {
    const { registry, consul, servicePrefix } = newRegistry();
    const { typeName } = IdGenService;
    const watched = watch(registry, typeName);
    keep(await registry.register({ ...edge("idgen-1"), service: typeName }));
    await vi.waitFor(async () => {
      const id = `${servicePrefix}${typeName}:idgen-1`;
      const health = await fetch(`${consulUrl}/v1/agent/health/service/id/${id}?format=text`);
      expect(await health.text()).toBe("critical");
    });
    expect(await consul.hasService(`${servicePrefix}${typeName}:idgen-1`)).toBe(true);
    await watched.sees();
    expect(watched.lists).toEqual([[]]);
  });

  it("[D1] an instance with a health page is there while the page says so", async () => {
    const { registry } = newRegistry();
    let status = 503;
    const page = createServer((_, response) => response.writeHead(status).end());
    await new Promise<void>((resolve) => page.listen(0, "127.0.0.1", resolve));
    cleanUp.push(() => page.close());
    const { port } = page.address() as AddressInfo;
    const metadata = { health_url: `http://127.0.0.1:${port}/healthz` };
    const watched = watch(registry, "parley.edge");
    keep(await registry.register({ ...edge("edge-1"), metadata }));
    await watched.sees();
    status = 200;
    await watched.sees("edge-1");
    status = 503;
    await watched.sees();
  });

  it("[D1] [R3] an agent that has forgotten an instance is told again", async () => {
    const { registry, consul, servicePrefix } = newRegistry();
    keep(await registry.register(edge("edge-1")));
    const watched = watch(registry, "parley.edge");
    await watched.sees("edge-1");
    await consul.deregisterService(`${servicePrefix}parley.edge:edge-1`);
    await watched.sees();
    await watched.sees("edge-1");
  });

  it("[D2] [R3] while Consul is away the last list stands, and changes are seen when it is back", async () => {
    const proxy = await TcpProxy.start(new URL(consulUrl).host);
    cleanUp.push(() => proxy.stop());
    const { registry, servicePrefix } = newRegistry(`http://${proxy.address}`);
    const { registry: others } = newRegistry(consulUrl, servicePrefix);
    const watched = watch(registry, "parley.edge");
    const first = await others.register(edge("edge-1"));
    await watched.sees("edge-1");

    events.length = 0;
    proxy.cut();
    await vi.waitFor(() => expect(events).toContain("consul_watch_failed"));
    await expect(registry.register(edge("edge-2"))).rejects.toThrow("Consul http://");
    keep(await others.register(edge("edge-3")));
    await first.deregister();
    expect(watched.lists.at(-1)).toEqual([edge("edge-1")]);

    proxy.restore();
    await watched.sees("edge-1", "edge-3");
    await watched.sees("edge-3");
    // Before the first instance there may have been nobody; afterwards there never is.
    const sizes = watched.lists.map((list) => list.length);
    expect(sizes.filter((size, i) => i > 0 || size > 0)).toEqual([1, 2, 1]);
  });

  it("[D2] an offer can be withdrawn while Consul is away", async () => {
    const proxy = await TcpProxy.start(new URL(consulUrl).host);
    cleanUp.push(() => proxy.stop());
    const { registry, servicePrefix } = newRegistry(`http://${proxy.address}`);
    const registration = await registry.register(edge("edge-1"));
    proxy.cut();
    await registration.deregister();
    await newRegistry(consulUrl, servicePrefix).consul.deregisterService(
      `${servicePrefix}parley.edge:edge-1`,
    );
  });

  it("metadata that Consul can't hold are refused with its reason", async () => {
    const { registry } = newRegistry();
    const long = { ...edge("edge-1"), metadata: { note: "x".repeat(513) } };
    await expect(registry.register(long)).rejects.toThrow(/status 400 .*metadata pair/);
  });
});
