/** The table of permissions, cell by cell, over each way by which a device can call. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { errorReason, MessageService } from "../../edge/sdk/index.ts";
import {
  type Condition,
  type Operation,
  type Permission,
  permissions,
  type Standing,
  standings,
} from "../../services/message/channel/permissions.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { type Device, newDevices } from "./device.ts";
import { GrpcCalls } from "./grpc-calls.ts";
import {
  attempts,
  type Calls,
  type Cast,
  deletedScene,
  directScene,
  groupScene,
  type Scene,
} from "./permission-scene.ts";

vi.setConfig({ testTimeout: 60_000 });

let parley: ParleyUnderTest;
let grpc: GrpcCalls<typeof MessageService>;
let cast: Cast;
beforeAll(async () => {
  parley = await openParley();
  grpc = await GrpcCalls.open(parley, MessageService);
  const names = [
    "OWNER",
    "ADMIN",
    "MEMBER",
    "FORMER",
    "NONE",
    "BANNED",
    "otherMember",
    "otherAdmin",
    "other",
  ];
  const devices = await newDevices(parley.nextUrl, ...names.map((name) => name.toLowerCase()));
  cast = Object.fromEntries(names.map((name, i) => [name, devices[i]!])) as Cast;
});
afterAll(async () => {
  grpc.close();
  for (const device of Object.values(cast)) await device.client.close();
  await parley.stop();
});

/** The ways, each as a device's calls. */
const ways: Readonly<Record<string, (device: Device) => Calls>> = {
  WebSocket: (device) => device.calls,
  HTTP: (device) => device.http(MessageService),
  gRPC: (device) => grpc.by(device),
};

/** A cell, and where it hangs on a condition one of its two sides. */
interface Try {
  operation: Operation;
  standing: Standing;
  expected: string;
  condition?: Condition;
  holds?: boolean;
}

const operations = Object.keys(permissions) as Operation[];
const columns = Object.keys(standings) as Standing[];
const tries: Try[] = operations.flatMap((operation) =>
  columns.flatMap((standing): Try[] => {
    const verdict = (permissions[operation] as Permission)[standing];
    const cell = { operation, standing };
    if (typeof verdict === "string") return [{ ...cell, expected: verdict }];
    const { where: condition, otherwise } = verdict;
    return [
      { ...cell, condition, holds: true, expected: "ALLOWED" },
      { ...cell, condition, holds: false, expected: otherwise },
    ];
  }),
);

function newScene({ standing, condition, holds }: Try): Promise<Scene> {
  if (standing === "DELETED") return deletedScene(cast);
  if (standing !== "DIRECT") return groupScene(cast, condition, holds);
  return directScene(cast, condition === "isNotBlocked" && !holds);
}

/** Scenes for what is refused: it leaves them as they were, for the next. */
const refusedScenes = new Map<string, Promise<Scene>>();

function refusedScene(cell: Try): Promise<Scene> {
  const kind = cell.standing in cast ? "group" : cell.standing;
  const key = `${kind} ${cell.condition}`;
  const scene = refusedScenes.get(key) ?? newScene(cell);
  refusedScenes.set(key, scene);
  return scene;
}

/** The cells that have been tried, with their ways. */
const tried = new Set<string>();

describe.each(Object.keys(ways))("over %s", (way) => {
  it.each(tries)("[G1] $operation by $standing: $expected", async (cell) => {
    const { operation, standing, expected } = cell;
    const isDeleted = standing === "DELETED";
    const scene = await (expected === "ALLOWED" ? newScene(cell) : refusedScene(cell));
    const { channelId } = scene;
    const role = standing === "DIRECT" ? "OWNER" : isDeleted ? "MEMBER" : standing;
    const device = cast[role];
    const change = { channelId, clientMessageId: device.client.newClientMessageId() };
    const sequence = async () =>
      (await cast.OWNER.calls.getChannel({ channelId })).channel!.lastChannelSequence;
    const isLookedAt = expected !== "ALLOWED" && !isDeleted;
    const before = isLookedAt ? await sequence() : 0;

    const attempt = attempts[operation](ways[way]!(device), change, scene, device);
    expect(await attempt.then(() => "ALLOWED", errorReason)).toBe(expected);
    if (isLookedAt) expect(await sequence()).toBe(before);
    tried.add(`${way} ${operation} ${standing}`);
  });
});

it("[G1] no cell is left untried", () => {
  expect(tried.size).toBe(Object.keys(ways).length * operations.length * columns.length);
});
