/** PresenceService: puts together who is connected, who is told, and who may know. */
import { PresenceService } from "../../gen/parley/presence/v1/presence_service_pb.js";
import { SessionService } from "../../gen/parley/session/v1/session_service_pb.js";
import { followAccounts } from "../../mesh/account-cache.ts";
import type { Clock } from "../../mesh/clock.ts";
import { edgeService } from "../../mesh/edge-offer.ts";
import type { CodeTable } from "../../mesh/errors.ts";
import { type Logger, silentLogger } from "../../mesh/logger.ts";
import type { Metrics } from "../../mesh/metrics.ts";
import type { Registry, Watch } from "../../mesh/registry.ts";
import type { Handlers, Mesh } from "../../mesh/rpc.ts";
import type { Running, Streams } from "../../mesh/streams.ts";
import { Announcements } from "./announcements.ts";
import { EdgeLinks } from "./edge-links.ts";
import { type FriendLists, friendLists } from "./friend-lists.ts";
import type { PresenceConfig } from "./presence-config.ts";
import { type CallOwner, PresenceReads } from "./presence-reads.ts";
import { PresenceState } from "./presence-state.ts";
import type { PresenceStore } from "./presence-store.ts";
import { Settling } from "./settling.ts";
import { StatusChanges } from "./status-changes.ts";
import { WriteBehind } from "./write-behind.ts";

/** What Presence needs. */
export interface PresenceOptions {
  mesh: Pick<Mesh, "client" | "instanceIds" | "watchInstances">;
  streams: Pick<Streams, "publishInbox" | "subscribeAccounts">;
  /** Tells which edges there are, as instances of "parley.edge" whose ids they report under. */
  registry: Pick<Registry, "watch">;
  store: PresenceStore;
  clock: Clock;
  config: PresenceConfig;
  log?: Logger;
  metrics?: Metrics;
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
/** Makes a Presence. */
export function createPresenceService(options: PresenceOptions): Presence {
  return new PresenceInstance(options);
}

class PresenceInstance implements Presence {
  readonly handlers: Handlers<typeof PresenceService>;
  readonly codes: CodeTable = {};
  private readonly options: PresenceOptions;
  private readonly state: PresenceState;
  private readonly settling: Settling;
  private readonly links: EdgeLinks;
  private readonly rows: WriteBehind;
  private readonly changes: StatusChanges;
  private readonly friends: FriendLists;
  private edges: Watch | undefined;
  private accounts: Running | undefined;
  private closed = false;

  constructor(options: PresenceOptions) {
    const { mesh, streams, store, clock, config, metrics, callOwner, instanceId } = options;
    const { graceMs, beatIntervalMs } = config;
    const log = options.log ?? silentLogger;
    this.options = options;
    this.state = new PresenceState({
      clock,
      graceMs,
      onChange: (userId, isOnline, lastActiveMs) =>
        this.changes.note({ userId, isOnline, lastActiveMs }),
    });
    const onSettled = () => void this.changes.reconcile();
    this.settling = new Settling({ clock, graceMs, instanceId, onSettled });
    const { state, settling } = this;
    this.links = new EdgeLinks({ state, settling, beatIntervalMs, clock, log, metrics });
    this.rows = new WriteBehind({ store, delayMs: config.writeDelayMs, clock, log });
    const sessions = mesh.client(SessionService);
    const friends = friendLists({
      load: (userIds) => sessions.listFriendIds({ userIds }, { timeoutMs: friendsTimeoutMs }),
      maxAgeMs: config.friendsMaxAgeMs,
      clock,
    });
    this.friends = friends;
    const announcements = new Announcements({ friends, streams, log });
    const { rows } = this;
    this.changes = new StatusChanges({ state, settling, rows, store, announcements, clock, log });
    const instanceIds = () => mesh.instanceIds(PresenceService);
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
    const { streams, clock, log = silentLogger } = this.options;
    this.accounts = followAccounts(this.friends, { streams, clock, log });
    this.edges = registry.watch(edgeService, (edges) =>
      this.settling.setEdges(edges.map(({ instanceId }) => instanceId)),
    );
    mesh.watchInstances(PresenceService, (instanceIds) => {
      if (this.closed) return;
      this.settling.setInstances(instanceIds);
      this.changes.confirmGained();
    });
  }

  async close(): Promise<void> {
    this.closed = true;
    this.edges?.stop();
    await this.accounts?.stop();
    this.links.stop();
    // Also those who have another owner by now: its verdicts come later than this.
    for (const userId of this.state.userIds) {
      const lastActiveMs = this.state.lastActiveMs(userId)!;
      this.rows.put({ userId, isOnline: true, lastActiveMs });
    }
    this.state.stop();
    this.settling.stop();
    this.changes.stop();
    await this.rows.close();
  }
}
