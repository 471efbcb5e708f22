/** An edge's reporter and Presence over gRPC on loopback. */

import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LinkedPresenceReporter } from "../edge/presence-reporter.ts";
import { EventSchema } from "../gen/parley/edge/v1/frame_pb.js";
import { Status } from "../gen/parley/presence/v1/presence_pb.js";
import { PresenceService } from "../gen/parley/presence/v1/presence_service_pb.js";
import { Audience } from "../gen/parley/session/v1/session_pb.js";
import { SessionService } from "../gen/parley/session/v1/session_service_pb.js";
import { systemClock } from "../mesh/clock.ts";
import { dial } from "../mesh/dial.ts";
import { silentLogger } from "../mesh/logger.ts";
import { Metrics } from "../mesh/metrics.ts";
import { LocalRegistry } from "../mesh/registry-local.ts";
import type { Handlers } from "../mesh/rpc.ts";
import { hostRoles, type Runtime } from "../mesh/runtime.ts";
import { served } from "../mesh/serve.ts";
import { openMemoryStreams } from "../mesh/streams-memory.ts";
import { MemoryPresenceStore } from "../services/presence/presence-store-memory.ts";
import { startPresence } from "../services/presence/start-presence.ts";

const clock = systemClock;
const registry = new LocalRegistry();
const metrics = new Metrics();
const mesh = dial({ registry, meshSecret: "s3cret", clock, log: silentLogger, metrics });

const streams = openMemoryStreams({ clock });
const runtime: Runtime = {
  environment: { PARLEY_PRESENCE_GRACE_MS: "300", PARLEY_PRESENCE_BEAT_INTERVAL_MS: "50" },
  clock,
  log: () => silentLogger,
  metrics,
  registry,
  mesh,
  meshSecret: "s3cret",
  metadata: {},
};

/** Everybody is a friend of ben. */
const sessions = {
  listFriendIds: async ({ userIds }: { userIds: string[] }) => ({
    friends: userIds.map((userId) => ({
      ...{ userId, friendIds: ["ben"] },
      ...{ presenceAudience: Audience.FRIENDS, lastSeenAudience: Audience.FRIENDS },
    })),
  }),
} as unknown as Handlers<typeof SessionService>;

describe("Presence over gRPC", () => {
  const connections = new Map<string, { userId: string; deviceId: string }>();
  const told: string[] = [];
  const waiting: (() => void)[] = [];
  let hosts: Awaited<ReturnType<typeof hostRoles>>[];
  let reporter: LinkedPresenceReporter;

  beforeAll(async () => {
    const session = {
      instanceId: "session-1",
      served: served(SessionService, sessions, {}),
      stop: async () => {},
    };
    const store = new MemoryPresenceStore();
    const host = (...roles: Parameters<typeof hostRoles>[1]) =>
      hostRoles(runtime, roles, "127.0.0.1");
    hosts = [
      await host(session, startPresence(runtime, streams, store)),
      await host(startPresence(runtime, streams, store)),
    ];
    await streams.subscribeInbox("ben", ({ data }) => {
      const { event } = fromBinary(EventSchema, data);
      if (event.case === "presence")
        told.push(`${event.value.userId} ${Status[event.value.status]}`);
      for (const wake of waiting.splice(0)) wake();
    });
    const edge = { instanceId: "edge-1", service: "parley.edge", address: "", metadata: {} };
    await registry.register(edge);
    const listConnections = () => connections.values();
    reporter = new LinkedPresenceReporter({ mesh, edgeId: "edge-1", listConnections, clock });
    reporter.start();
  });
  afterAll(async () => {
    reporter.stop();
    for (const host of hosts.reverse()) await host.stop();
    await mesh.close();
    await streams.close();
  });

  async function untilTold(...expected: string[]): Promise<void> {
    while (!expected.every((line) => told.includes(line))) {
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    told.length = 0;
  }

  function connect(userId: string): void {
    connections.set(userId, { userId, deviceId: "phone" });
    reporter.attached(userId, "phone");
  }

  const userIds = Array.from({ length: 20 }, (_, i) => `user-${i}`);
  const statuses = async (viewerId: string) => {
    const identity = { userId: viewerId, deviceId: "phone" };
    const { presences } = await mesh.client(PresenceService).getPresence({ userIds }, { identity });
    return new Set(presences.map(({ status }) => Status[status]));
  };

  it("[P1] [P3] connections reach friends, whichever instance owns the user", async () => {
    for (const userId of userIds) connect(userId);
    await untilTold(...userIds.map((userId) => `${userId} ONLINE`));
    for (let calls = 0; calls < 2; calls++)
      expect(await statuses("ben")).toEqual(new Set(["ONLINE"]));
  });

  it("[P6] the asking user's identity reaches the owner", async () => {
    for (let calls = 0; calls < 2; calls++) {
      expect(await statuses("stranger")).toEqual(new Set(["UNSPECIFIED"]));
    }
  });

  it("[P2] [P3] log-outs and the end of the grace time reach friends", async () => {
    connections.clear();
    for (const [i, userId] of userIds.entries()) {
      if (i % 2) reporter.loggedOut(userId, "phone");
      else reporter.detached(userId, "phone", clock.monotonicMs());
    }
    await untilTold(...userIds.map((userId) => `${userId} OFFLINE`));
    expect(await statuses("ben")).toEqual(new Set(["OFFLINE"]));
  });

  it("[P5] a drained instance's users are taken over", async () => {
    for (const userId of userIds) connect(userId);
    await untilTold(...userIds.map((userId) => `${userId} ONLINE`));
    await hosts.pop()!.stop();
    connections.clear();
    for (const userId of userIds) reporter.detached(userId, "phone", clock.monotonicMs());
    await untilTold(...userIds.map((userId) => `${userId} OFFLINE`));
    expect(await statuses("ben")).toEqual(new Set(["OFFLINE"]));
  });
});
