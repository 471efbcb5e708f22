/** A cluster that one file of tests, or a bench, has for itself: it may take parts of it away. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cluster, startCluster } from "../../deploy/cluster.ts";
import type { NatsSync } from "../../deploy/servers/nats.ts";
import { provisionServers } from "../../deploy/servers/provision.ts";
import { systemClock as clock } from "../../mesh/clock.ts";
import { silentLogger } from "../../mesh/logger.ts";
import { openNatsStreams } from "../../mesh/streams-nats.ts";
import { serversConfig } from "../../servers-config.ts";
import type { MessageStore } from "../../services/message/store/message-store.ts";
import { openCassandraMessageStore } from "../../services/message/store/message-store-cassandra.ts";
import { Device, newAccount } from "../e2e/device.ts";
import { cheapPasswords } from "../parley-process.ts";

/** How one is started. */
export interface OwnClusterOptions {
  /** Default: 1. */
  edges?: number;
  /** Settings of each edge by itself; its clients are sent to the edges then. */
  edgeSettings?: readonly Readonly<Record<string, string>>[];
  /** Default: 1. */
  natsNodes?: 1 | 3;
  /** Default: "default". */
  sync?: NatsSync;
  /** Instances of roles that are not two. */
  instances?: Readonly<Record<string, number>>;
  /** Settings of all roles, `PARLEY_…`. */
  environment?: Readonly<Record<string, string>>;
  /** Told what its processes log, as they do. */
  onLog?(line: string): void;
}

/** A server that can be taken away. */
export type LosableServer = "nats" | "cassandra" | "postgres" | "consul";

/** How long a cluster may take to start, and to stop: a busy machine needs minutes. */
export const startMsMax = 240_000;
/** Any part's return, on a busy machine, and what waited for it: Cassandra starts in 25 s. */
export const lostMsMax = 150_000;
/** Of `vi.waitFor`: until something has come about that must. */
export const eventually = { timeout: 60_000, interval: 100 };

/** A running one. */
export class OwnCluster {
  readonly cluster: Cluster;
  /** What its processes have logged. */
  readonly log: readonly string[];
  private readonly folder: string;
  private readonly opened: { close(): Promise<void> }[] = [];
  /** Roles whose instances were killed and not replaced yet. */
  private missing: string[] = [];

  private constructor(cluster: Cluster, folder: string, log: readonly string[]) {
    this.cluster = cluster;
    this.folder = folder;
    this.log = log;
  }

  /** Starts the servers and two of each role but for what the options say. */
  static async start(options: OwnClusterOptions = {}): Promise<OwnCluster> {
    const { natsNodes = 1, sync = "default", instances = {}, edgeSettings } = options;
    const edges = edgeSettings?.length ?? options.edges ?? 1;
    await provisionServers(console.error);
    const folder = mkdtempSync(join(tmpdir(), "parley-lost-"));
    // PostgreSQL's user goes through it.
    chmodSync(folder, 0o711);
    const log: string[] = [];
    try {
      const cluster = await startCluster({
        folder,
        natsNodes,
        sync,
        edgePorts: Array(edges).fill(0),
        instances,
        ...(edgeSettings && { edgeSettings, assignsEdges: true }),
        environment: {
          ...process.env,
          ...cheapPasswords,
          ...options.environment,
        },
        onLog(line) {
          log.push(line);
          options.onLog?.(line);
        },
      });
      return new OwnCluster(cluster, folder, log);
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** The address of its first edge. */
  get url(): string {
    return this.cluster.edgeUrls[0]!;
  }

  /** Signs somebody up and connects. */
  async device(name: string): Promise<Device> {
    return Device.connect(this.url, await newAccount(this.url, name));
  }

  /** Two who have a channel in which one has said something that the other has heard. */
  async pair(): Promise<{ ann: Device; ben: Device; channelId: string; firstId: bigint }> {
    const [ann, ben] = await Promise.all([this.device("ann"), this.device("ben")]);
    const channelId = await ann.openDirect(ben);
    const firstId = await ann.say(channelId, "first");
    await ben.hears(channelId, "first");
    return { ann, ben, channelId, firstId };
  }

  /** Kills a server. @returns what starts it again on its data; resolves when it is ready */
  async lose(name: LosableServer): Promise<() => Promise<void>> {
    const { servers } = this.cluster;
    const server = name === "nats" ? servers.nats.nodes[0]! : servers[name];
    await server.process.signal("SIGKILL");
    return () => server.restart();
  }

  /** Kills instances of a role for good. @returns what starts as many new ones */
  async loseRole(role: string, count = Number.POSITIVE_INFINITY): Promise<() => Promise<void>> {
    const lost = this.running(role).slice(0, count);
    await Promise.all(
      lost.map((process) => {
        process.signal("SIGKILL");
        // Or its supervisor would start it again.
        return process.stop();
      }),
    );
    this.missing.push(...lost.map(() => role));
    return () => this.replaceLost();
  }

  /** Starts as many new instances as {@link loseRole} has killed, if that was not done yet. */
  async replaceLost(): Promise<void> {
    const missing = this.missing;
    this.missing = [];
    await Promise.all(missing.map((role) => this.cluster.add(role)));
  }

  /** Kills all instances of a role at once; resolves when their supervisors have new ones. */
  async restartRole(role: string): Promise<void> {
    const killed = this.running(role).map((process) => ({ process, restarts: process.restarts }));
    for (const { process } of killed) process.signal("SIGKILL");
    await Promise.all(
      killed.map(async ({ process, restarts }) => {
        while (process.restarts === restarts) await new Promise((next) => setTimeout(next, 50));
        await process.ready();
      }),
    );
  }

  /** The store that its workers write. */
  async messageStore(): Promise<MessageStore> {
    const logger = silentLogger;
    return this.closed(
      await openCassandraMessageStore({
        contactPoints: [this.cluster.servers.cassandra.address],
        localDataCenter: "datacenter1",
        keyspace: serversConfig.cassandraKeyspace.default,
        replicas: { datacenter1: 1 },
        ...{ clock, logger },
      }),
    );
  }

  /** Its streams. */
  async streams(options: { logShardBytesMax?: number; shards?: number } = {}) {
    const { logShardBytesMax, shards = 8 } = options;
    return this.closed(
      await openNatsStreams({
        urls: this.cluster.servers.nats.url.split(","),
        replicas: this.cluster.servers.nats.nodes.length,
        shards: { log: shards, inbox: shards },
        ...(logShardBytesMax && { logShardBytesMax }),
        clock,
      }),
    );
  }

  /** Ends it and removes its data. */
  async stop(): Promise<void> {
    await Promise.all(this.opened.map((each) => each.close()));
    await this.cluster.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private running(role: string) {
    return this.cluster.processes.filter((each) => each.role === role && each.pid !== undefined);
  }

  private closed<T extends { close(): Promise<void> }>(part: T): T {
    this.opened.push(part);
    return part;
  }
}
