/** PresenceService: puts together who is connected, who is told, and who may know. */
import { PresenceService } from "../../gen/parley/presence/v1/presence_service_pb.js";
import { SessionService } from "../../gen/parley/session/v1/session_service_pb.js";
import type { Clock, Timer } from "../../mesh/clock.ts";
import type { CodeTable } from "../../mesh/errors.ts";
import { type Logger, silentLogger } from "../../mesh/logger.ts";
import type { Registry, Watch } from "../../mesh/registry.ts";
import type { Handlers, Mesh } from "../../mesh/rpc.ts";
import type { Streams } from "../../mesh/streams.ts";
import { Announcements } from "./announcements.ts";
import { EdgeLinks } from "./edge-links.ts";
import { FriendLists } from "./friend-lists.ts";
import type { PresenceConfig } from "./presence-config.ts";
import { type CallOwner, PresenceReads } from "./presence-reads.ts";
import { PresenceState } from "./presence-state.ts";
import { type PresenceRow, type PresenceStore, rowsMax } from "./presence-store.ts";
import { Settling } from "./settling.ts";
import { WriteBehind } from "./write-behind.ts";

/** What Presence needs. */
export interface PresenceOptions {
  mesh: Pick<Mesh, "client" | "instanceIds" | "watchInstances">;
  streams: Pick<Streams, "publishInbox">;
  /** Tells which edges there are, as instances of "parley.edge" whose ids they report under. */
  registry: Pick<Registry, "watch">;
  store: PresenceStore;
  clock: Clock;
  config: PresenceConfig;
  log?: Logger;
  callOwner: CallOwner;
  /** This instance, as it is registered. */
  instanceId: string;
}

/** A running Presence. */
export interface Presence {
  readonly handlers: Handlers<typeof PresenceService>;
  readonly codes: CodeTable;
  /** Follows the registry. Until then, and until it has settled, nobody is called offline. */
  start(): void;
  /** Ends the links and stores what is known. */
  close(): Promise<void>;
}

/** How long Session is waited for: less than those wait who ask for presence. */
const friendsTimeoutMs = 1_000;
/** The pause before what the store refused is compared again. */
const retryMs = 5_000;

/** Makes a Presence. */
export function createPresenceService(options: PresenceOptions): Presence {
  return new PresenceInstance(options);
}

class PresenceInstance implements Presence {
  readonly handlers: Handlers<typeof PresenceService>;
  readonly codes: CodeTable = {};
  private readonly options: PresenceOptions;
  private readonly log: Logger;
  private readonly state: PresenceState;
  private readonly settling: Settling;
  private readonly links: EdgeLinks;
  private readonly rows: WriteBehind;
  private readonly announcements: Announcements;
  /** Users who are online and may have been all the time. */
  private readonly unconfirmed = new Set<string>();
  private confirming = false;
  private edges: Watch | undefined;
  private retry: Timer | undefined;
  private closed = false;

  constructor(options: PresenceOptions) {
    const { mesh, streams, store, clock, config, callOwner, instanceId } = options;
    const { graceMs, beatIntervalMs } = config;
    const log = options.log ?? silentLogger;
    this.options = options;
    this.log = log;
    this.state = new PresenceState({
      clock,
      graceMs,
      onChange: (userId, isOnline, lastActiveMs) => this.note({ userId, isOnline, lastActiveMs }),
    });
    const onSettled = () => void this.reconcile();
    this.settling = new Settling({ clock, graceMs, instanceId, onSettled });
    const { state, settling } = this;
    this.links = new EdgeLinks({ state, settling, beatIntervalMs, clock, log });
    this.rows = new WriteBehind({ store, delayMs: config.writeDelayMs, clock, log });
    const sessions = mesh.client(SessionService);
    const friends = new FriendLists({
      load: (userId) => sessions.listFriendIds({ userId }, { timeoutMs: friendsTimeoutMs }),
      maxAgeMs: config.friendsMaxAgeMs,
      clock,
    });
    this.announcements = new Announcements({ friends, streams, log });
    const instanceIds = () => mesh.instanceIds(PresenceService);
    const { rows } = this;
    const known = { state, settling, rows, friends };
    const reads = new PresenceReads({ instanceId, instanceIds, callOwner, ...known, log });
    this.handlers = {
      getPresence: ({ userIds }, { identity }) => reads.get(userIds, identity),
      getOwnedPresence: ({ userIds }, { identity }) => reads.getOwned(userIds, identity),
      link: (stream) => this.links.open(stream),
    };
  }

  start(): void {
    const { mesh, registry } = this.options;
    this.edges = registry.watch("parley.edge", (edges) =>
      this.settling.setEdges(edges.map(({ instanceId }) => instanceId)),
    );
    mesh.watchInstances(PresenceService, (instanceIds) => {
      if (!this.closed) this.settling.setInstances(instanceIds);
    });
  }

  async close(): Promise<void> {
    this.closed = true;
    this.edges?.stop();
    this.retry?.cancel();
    this.links.stop();
    for (const userId of this.state.userIds) {
      if (this.settling.owns(userId)) this.rows.put(this.onlineRow(userId));
    }
    this.state.stop();
    this.settling.stop();
    await this.rows.close();
  }

  /** What a change of the devices says of the user. */
  private note(row: PresenceRow): void {
    if (this.settling.canTellOffline(row.userId)) this.publish(row);
    else if (row.isOnline && this.settling.owns(row.userId)) this.confirm([row.userId]);
    // Else another instance speaks for the user, or this one when it has settled.
  }

  private publish(row: PresenceRow): void {
    this.rows.put(row);
    this.announcements.add(row);
  }

  private onlineRow(userId: string): PresenceRow {
    return { userId, isOnline: true, lastActiveMs: this.state.lastActiveMs(userId)! };
  }

  /** Publishes that users are online, but for those who are known to have been before. */
  private confirm(userIds: Iterable<string>): void {
    for (const userId of userIds) this.unconfirmed.add(userId);
    if (!this.confirming) void this.confirmAll();
  }

  private async confirmAll(): Promise<void> {
    this.confirming = true;
    while (this.unconfirmed.size > 0 && !this.closed) {
      // What gathers in this turn is looked up together.
      await new Promise((resolve) => setImmediate(resolve));
      const userIds = [...this.unconfirmed].slice(0, rowsMax);
      for (const userId of userIds) this.unconfirmed.delete(userId);
      // Where the store can't tell, friends hear it once more.
      const rows = await this.rows.get(userIds).catch(() => []);
      for (const [i, userId] of userIds.entries()) {
        const isNews = !rows[i]?.isOnline && this.state.isOnline(userId);
        if (isNews && this.settling.owns(userId)) this.publish(this.onlineRow(userId));
      }
    }
    this.confirming = false;
  }

  /** Compares what is stored with what is known, now that absence can be judged. */
  private async reconcile(): Promise<void> {
    this.confirm(this.state.userIds);
    const { store, clock } = this.options;
    try {
      if (!(await this.rows.flush())) throw new Error("the latest changes are not stored");
      for (let page: PresenceRow[] = [], after = ""; ; after = page.at(-1)!.userId) {
        page = await store.listOnline(after, rowsMax);
        if (this.closed) return;
        for (const row of page) {
          if (this.state.isOnline(row.userId) || !this.settling.canTellOffline(row.userId))
            continue;
          this.publish({ ...row, isOnline: false });
        }
        if (page.length < rowsMax) return;
        await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (error) {
      if (this.closed) return;
      this.log.warn({ event: "presence_not_reconciled", err: error });
      this.retry?.cancel();
      this.retry = clock.setTimer(retryMs, () => void this.reconcile());
    }
  }
}
