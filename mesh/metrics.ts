/**
 * Prometheus metrics of a process, and the small HTTP server that shows them beside `/healthz`.
 * Hot paths add to plain counters; prom-client formats them when somebody asks.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** Seconds; fine where chat latencies lie. */
const latencyBuckets = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

/** A process' metrics. Names are `parley_…`, units in the name. */
export class Metrics {
  readonly registry: Registry = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /** A count that only grows. */
  counter<L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> {
    return (
      this.existing<Counter<L>>(name) ??
      new Counter({ name, help, labelNames, registers: [this.registry] })
    );
  }

  /** A value that is asked for when metrics are read. */
  gauge(name: string, help: string, read: () => number): void {
    if (this.existing(name)) return;
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }

  /** Durations in seconds. */
  latency<L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
  ): Histogram<L> {
    return (
      this.existing<Histogram<L>>(name) ??
      new Histogram({ name, help, labelNames, buckets: latencyBuckets, registers: [this.registry] })
    );
  }

  private existing<T>(name: string): T | undefined {
    return this.registry.getSingleMetric(name) as T | undefined;
  }
}

/** Serves `/metrics` and `/healthz` (200 while `isReady`, else 503) on the given address. */
export async function serveMetrics(
  metrics: Metrics,
  listen: { host: string; port: number },
  isReady: () => boolean,
): Promise<{ port: number; close(): Promise<void> }> {
  const server: Server = createServer(async (request, response) => {
    if (request.url === "/healthz") {
      response.writeHead(isReady() ? 200 : 503, { "content-type": "text/plain" });
      response.end(isReady() ? "ready\n" : "not ready\n");
    } else if (request.url === "/metrics") {
      const text = await metrics.registry.metrics();
      response.writeHead(200, { "content-type": metrics.registry.contentType }).end(text);
    } else {
      response.writeHead(404, { "content-type": "text/plain" }).end("try /metrics or /healthz\n");
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(listen.port, listen.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
