/** Presence instances in one process, for tests: memory streams, a scripted Session, one clock. */
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { EventSchema } from "../../gen/parley/edge/v1/frame_pb.js";
import { Status } from "../../gen/parley/presence/v1/presence_pb.js";
import {
  GetOwnedPresenceRequestSchema,
  GetPresenceRequestSchema,
  type LinkRequest,
  LinkRequestSchema,
  type LinkResponse,
  LinkResponseSchema,
} from "../../gen/parley/presence/v1/presence_service_pb.js";
import { Audience } from "../../gen/parley/session/v1/session_pb.js";
import type { Clock } from "../../mesh/clock.ts";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { type MemoryDuplex, memoryDuplex } from "../../mesh/duplex-memory.ts";
import { unavailable } from "../../mesh/errors.ts";
import type { Metrics } from "../../mesh/metrics.ts";
import { LocalRegistry } from "../../mesh/registry-local.ts";
import type { CallContext, Mesh } from "../../mesh/rpc.ts";
import type { Streams } from "../../mesh/streams.ts";
import { openMemoryStreams } from "../../mesh/streams-memory.ts";
import { createPresenceService, type Presence } from "./presence-service.ts";
import type { PresenceStore } from "./presence-store.ts";
import { MemoryPresenceStore } from "./presence-store-memory.ts";

/** The edge's end of a stream to an instance. */
export type EdgeEnd = MemoryDuplex<LinkResponse, MessageInitShape<typeof LinkRequestSchema>>;

type ServerEnd = MemoryDuplex<LinkRequest, MessageInitShape<typeof LinkResponseSchema>>;

/** What friends were told: "anna online → ben". */
export type Told = string;

export const config = {
  graceMs: 30_000,
  beatIntervalMs: 5_000,
  friendsMaxAgeMs: 30_000,
  writeDelayMs: 2_000,
};

/** Lets promises, and what waits for the turn of the event loop, go on. */
export async function settle(turns = 12): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A mesh of Presence instances that share a store and a Session. */
export class PresenceCluster {
  readonly clock: ManualClock = new ManualClock();
  readonly registry: LocalRegistry = new LocalRegistry();
  readonly told: Told[] = [];
  /** Called with each. */
  onTold: (told: Told) => void = () => {};
  readonly friends = new Map<string, string[]>();
  readonly audiences = new Map<string, Audience>();
  readonly lastSeenAudiences = new Map<string, Audience>();
  readonly blocks = new Map<string, string[]>();
  /** Users of whom Session was asked. */
  friendLookUps = 0;
  isSessionAway = false;
  /** Tells of accounts that have changed. */
  readonly accounts: Streams = openMemoryStreams({ clock: this.clock });
  /** How much later than the first each watcher learns of a change of the instances. */
  watchLagMs: (watcher: number) => number = () => 0;
  /** How long what is written to a stream is on its way. */
  linkDelayMs = 0;
  /** Edges' requests arrive twice. */
  isDoubling = false;
  /** Calls of these instances fail. */
  readonly unreachable = new Set<string>();
  store: PresenceStore = new MemoryPresenceStore();
  metrics: Metrics | undefined;
  private readonly instances = new Map<string, Presence>();
  private readonly cuts = new Map<string, Set<(error: Error) => void>>();
  /** What swallows all that is on its way in the streams to an instance. */
  private readonly swallows = new Map<string, Set<() => void>>();
  private readonly watchers: ((instanceIds: readonly string[]) => void)[] = [];

  /** Starts an instance, whose clock is ahead; the others and the edges learn of it. */
  start(instanceId: string, aheadMs = 0): Presence {
    const presence = createPresenceService({
      mesh: this.mesh,
      streams: {
        publishInbox: (userId, data) => {
          if (!this.isRunning(instanceId)) return;
          const told = readEvent(userId, data);
          this.told.push(told);
          this.onTold(told);
        },
        subscribeAccounts: (onChange) => this.accounts.subscribeAccounts(onChange),
      },
      registry: this.registry,
      store: this.storeOf(instanceId),
      clock: machineClock(this.clock, aheadMs),
      config,
      ...(this.metrics && { metrics: this.metrics }),
      callOwner: async (owner, request, options) => {
        const { identity } = options;
        const context = { identity } as CallContext;
        const message = create(GetOwnedPresenceRequestSchema, request);
        return this.reachable(owner).handlers.getOwnedPresence(message, context);
      },
      instanceId,
    });
    this.instances.set(instanceId, presence);
    presence.start();
    this.announce();
    return presence;
  }

  /** Takes an instance off the mesh and breaks its streams, as when its process is killed. */
  kill(instanceId: string): void {
    this.instances.delete(instanceId);
    for (const cut of this.cuts.get(instanceId) ?? []) cut(new Error("the process has ended"));
    this.cuts.delete(instanceId);
    this.announce();
  }

  /** What edges and services hold. */
  readonly mesh: Pick<Mesh, "client" | "instanceIds" | "watchInstances" | "openStream"> = {
    client: () =>
      ({
        listFriendIds: async ({ userIds }: { userIds: string[] }) => {
          this.friendLookUps += userIds.length;
          if (this.isSessionAway) throw unavailable("Session is away");
          return {
            friends: userIds.map((userId) => ({
              userId,
              friendIds: this.friends.get(userId) ?? [],
              presenceAudience: this.audiences.get(userId) ?? Audience.UNSPECIFIED,
              lastSeenAudience: this.lastSeenAudiences.get(userId) ?? Audience.UNSPECIFIED,
              blockedUserIds: this.blocks.get(userId) ?? [],
            })),
          };
        },
      }) as never,
    instanceIds: () => [...this.instances.keys()],
    watchInstances: (_service, onChange) => {
      this.watchers.push(onChange);
      queueMicrotask(() => onChange([...this.instances.keys()]));
    },
    openStream: (_method, instanceId) => this.link(instanceId) as never,
  };

  /** Opens a stream to an instance, as an edge does. */
  link(instanceId: string): EdgeEnd {
    let isSwallowing = false;
    const later = (callback: () => void) => {
      const arrive = () => {
        if (!isSwallowing) callback();
      };
      if (this.linkDelayMs > 0) this.clock.setTimer(this.linkDelayMs, arrive);
      else queueMicrotask(arrive);
    };
    const { left, right, cut } = memoryDuplex<
      LinkRequest,
      LinkResponse,
      MessageInitShape<typeof LinkRequestSchema>,
      MessageInitShape<typeof LinkResponseSchema>
    >(
      {
        toRight: (request) => create(LinkRequestSchema, request),
        toLeft: (response) => create(LinkResponseSchema, response),
      },
      later,
    );
    if (this.isDoubling) {
      const write = left.write.bind(left);
      left.write = (request) => write(request) && write(request);
    }
    const swallows = this.swallows.get(instanceId) ?? new Set();
    this.swallows.set(
      instanceId,
      swallows.add(() => {
        isSwallowing = true;
      }),
    );
    const presence = this.instances.get(instanceId);
    if (presence) {
      const cuts = this.cuts.get(instanceId) ?? new Set();
      this.cuts.set(instanceId, cuts.add(cut));
      presence.handlers.link(right as ServerEnd, {} as CallContext);
    } else {
      queueMicrotask(() => cut(new Error("no such instance")));
    }
    return left;
  }

  /** Breaks every stream to an instance, which lives on. */
  cut(instanceId: string): void {
    for (const cut of this.cuts.get(instanceId) ?? []) cut(new Error("cut"));
    this.cuts.delete(instanceId);
  }

  /** From now on nothing arrives in the streams to an instance, and nobody is told. */
  swallow(instanceId: string): void {
    for (const swallow of this.swallows.get(instanceId) ?? []) swallow();
    this.swallows.delete(instanceId);
    this.cuts.delete(instanceId);
  }

  /** GetPresence, asked of an instance by a user's device, or (without a user) by a service. */
  async get(instanceId: string, userIds: string[], viewerId?: string): Promise<string[]> {
    const identity = viewerId === undefined ? undefined : { userId: viewerId, deviceId: "d" };
    const request = create(GetPresenceRequestSchema, { userIds });
    const context = { identity } as CallContext;
    const { presences } = await this.reachable(instanceId).handlers.getPresence(request, context);
    return presences!.map(({ userId, status, lastActiveTime }) => {
      const seen = lastActiveTime ? ` ${timestampMs(lastActiveTime as never)}` : "";
      return `${userId} ${Status[status!]}${seen}`;
    });
  }

  /** Only the statuses. */
  async statuses(instanceId: string, userIds: string[], viewerId?: string): Promise<string[]> {
    const presences = await this.get(instanceId, userIds, viewerId);
    return presences.map((text) => text.split(" ")[1]!);
  }

  /** Lets time pass in steps that are short for the beats, and everything happen in between. */
  async advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 1_000) {
      this.clock.advance(Math.min(1_000, left));
      await settle(4);
    }
    await settle();
  }

  private reachable(instanceId: string): Presence {
    const presence = this.instances.get(instanceId);
    if (!presence || this.unreachable.has(instanceId)) throw unavailable(`${instanceId} is away`);
    return presence;
  }

  private isRunning(instanceId: string): boolean {
    return this.instances.has(instanceId);
  }

  /** The store, in which a process that was killed writes nothing any more. */
  private storeOf(instanceId: string): PresenceStore {
    const { store } = this;
    return {
      put: async (rows) => {
        if (this.isRunning(instanceId)) await store.put(rows);
      },
      get: (userIds) => store.get(userIds),
      listOnline: (afterUserId, limit) => store.listOnline(afterUserId, limit),
      close: () => store.close(),
    };
  }

  private announce(): void {
    for (const [i, watcher] of this.watchers.entries()) {
      const lagMs = this.watchLagMs(i);
      const tell = () => watcher([...this.instances.keys()]);
      if (lagMs > 0) this.clock.setTimer(lagMs, tell);
      else tell();
    }
  }
}

/** Another machine's clock: of the same pace, with another time of day and another start. */
export function machineClock(clock: ManualClock, aheadMs: number): Clock {
  return {
    nowMs: () => clock.nowMs() + aheadMs,
    monotonicMs: () => clock.monotonicMs() + 3 * aheadMs,
    setTimer: (delayMs, callback) => clock.setTimer(delayMs, callback),
  };
}

function readEvent(friendId: string, data: Uint8Array): Told {
  const { event } = fromBinary(EventSchema, data);
  if (event.case !== "presence") throw new Error("not a presence event");
  const { userId, status } = event.value;
  return `${userId} ${Status[status].toLowerCase()} → ${friendId}`;
}
