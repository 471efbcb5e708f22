/**
 * One run: edges' reporters and instances of Presence in one process, on a clock that stands still
 * between two events, and everything that can happen to them, by a seed. After each event what
 * friends were told and what is answered is compared with the model.
 */
import { rendezvous } from "../../mesh/rendezvous.ts";
import { config, PresenceCluster, settle } from "../../services/presence/presence-under-test.ts";
import { Random } from "../simulation/random.ts";
import { Edge } from "./edge.ts";
import { Friend } from "./friend.ts";
import { PresenceModel } from "./presence-model.ts";

/** What has come of a run. */
export interface PresenceRun {
  /** What was broken, with what had happened before; undefined: nothing. */
  violation: string | undefined;
  events: number;
}

const users = ["anna", "ben", "carl"];
const friendId = "dora";
const devices = ["phone", "laptop"];
const { graceMs, beatIntervalMs, writeDelayMs } = config;
/** A stream that is broken is open again, with its snapshot sent. */
const reopenMsMax = 6_000;
/** A stream that nothing passes any more is given up, and another is open. */
const swallowedMsMax = 5 * beatIntervalMs;
/** Who learns how late of a change of the instances. */
const watchLagMsMax = 6_000;
const instancesMax = 3;

const weights = {
  connect: 30,
  disconnect: 14,
  fallSilent: 5,
  logOut: 5,
  startInstance: 3,
  killInstance: 3,
  cut: 4,
  swallow: 2,
  killEdge: 3,
  loseEdgeMachine: 2,
  stepClock: 1,
};

/** Runs a seed. */
export async function runPresence(seed: number): Promise<PresenceRun> {
  const run = new Run(seed);
  try {
    await run.begin();
    await run.go();
    return { violation: undefined, events: run.events };
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    return { violation: [...run.trace, error.message].join("\n"), events: run.events };
  }
}

class Violation extends Error {}

class Run {
  readonly trace: string[] = [];
  events = 0;
  private readonly random: Random;
  private readonly cluster = new PresenceCluster();
  private readonly model: PresenceModel;
  private readonly reportsMax: number;
  private readonly startMs: number;
  private edges: Edge[] = [];
  private readonly instances: string[] = [];
  private readonly startedMs = new Map<string, number>();
  /** By edge, user and device. */
  private readonly connectedMs = new Map<string, number>();
  private readonly friend = new Friend(writeDelayMs);
  private readonly lastActive = new Map<string, number>();
  private readonly stored = new Map<string, number>();
  /** A log-in gives a device a new id. */
  private generation = 0;
  private readonly deviceIds = new Map<string, string>();
  /** By then every instance can judge who is absent. */
  private settledMs = 0;
  private brokenUntilMs = 0;
  /** By then everybody has learnt of the last change of the instances. */
  private instancesKnownMs = 0;
  private problem: string | undefined;

  constructor(seed: number) {
    const random = new Random(seed);
    this.random = random;
    const { cluster } = this;
    this.startMs = cluster.clock.monotonicMs();
    cluster.linkDelayMs = random.pick([0, 0, 50, 1_500]);
    cluster.isDoubling = random.chance(0.3);
    cluster.watchLagMs = () => random.between(0, watchLagMsMax);
    for (const user of users) cluster.friends.set(user, [friendId]);
    cluster.onTold = (told) => this.hear(told);
    this.reportsMax = random.pick([1, 2, 1_000]);
    this.model = new PresenceModel({ graceMs, reportMs: cluster.linkDelayMs });
  }

  private get nowMs(): number {
    return this.cluster.clock.monotonicMs();
  }

  async begin(): Promise<void> {
    this.startInstance();
    this.edges = [await this.startEdge(), await this.startEdge()];
    if (this.random.chance(0.7)) await this.advance(graceMs + watchLagMsMax + 2 * reopenMsMax);
  }

  async go(): Promise<void> {
    const steps = this.random.between(5, 40);
    for (let step = 0; step < steps; step++) {
      await this[this.random.weighted(weights)]();
      const pauses = [0, 0, 0, 100, 3_000, 12_000, graceMs - 1, graceMs, 45_000];
      await this.advance(this.random.pick(pauses));
    }
    this.log("nothing more happens");
    await this.advance(4 * graceMs);
  }

  private log(what: string): void {
    this.trace.push(`${((this.nowMs - this.startMs) / 1_000).toFixed(3).padStart(8)} ${what}`);
  }

  private connect(): void {
    const [edge, user, device] = [this.edge(), this.user(), this.device()];
    const deviceId = this.deviceIdOf(user, device);
    if (edge.connections.has(`${user}/${deviceId}`)) return;
    this.log(`${user}'s ${deviceId} connects to ${edge.edgeId}`);
    this.model.connect(this.nowMs, edge.edgeId, user, deviceId);
    this.connectedMs.set(`${edge.edgeId}/${user}/${deviceId}`, this.nowMs);
    edge.connect(user, deviceId);
  }

  private disconnect(silentMsMax = 0): void {
    const edge = this.edge();
    const connections = [...edge.connections.values()];
    if (connections.length === 0) return;
    const { userId, deviceId } = this.random.pick(connections);
    const { nowMs } = this;
    const connectedMs = this.connectedMs.get(`${edge.edgeId}/${userId}/${deviceId}`)!;
    const silentMs = Math.min(silentMsMax, nowMs - connectedMs);
    this.log(`${userId}'s ${deviceId} leaves ${edge.edgeId}, silent for ${silentMs}`);
    this.model.disconnect(nowMs, edge.edgeId, userId, deviceId, nowMs - silentMs);
    edge.disconnect(userId, deviceId, silentMs);
  }

  /** What the edge notices when it has been so for a while. */
  private fallSilent(): void {
    this.disconnect(this.random.pick([1_000, graceMs / 2, graceMs]));
  }

  private logOut(): void {
    const [user, device] = [this.user(), this.device()];
    const deviceId = this.deviceIdOf(user, device);
    this.log(`${user}'s ${deviceId} logs out`);
    this.model.logOut(this.nowMs, user, deviceId);
    // It is cut off wherever it is connected.
    for (const edge of this.edges) edge.logOut(user, deviceId);
    this.deviceIds.set(`${user}/${device}`, `${device}-${++this.generation}`);
  }

  private startInstance(): void {
    if (this.instances.length >= instancesMax) return;
    const instanceId = `presence-${++this.generation}`;
    const aheadMs = this.random.between(-20_000, 20_000);
    this.log(`${instanceId} starts, its clock ahead by ${aheadMs}`);
    this.instances.push(instanceId);
    this.startedMs.set(instanceId, this.nowMs);
    this.instancesChange();
    for (const user of users) {
      if (rendezvous(user, this.instances) !== instanceId) continue;
      this.friend.handOver(this.nowMs, user, this.instancesKnownMs);
    }
    this.cluster.start(instanceId, aheadMs);
  }

  private killInstance(): void {
    if (this.instances.length < 2) return;
    const instanceId = this.random.pick(this.instances);
    this.log(`${instanceId} dies`);
    for (const user of users) {
      const isOwner = rendezvous(user, this.instances) === instanceId;
      if (isOwner || this.friend.isHandedOver(this.nowMs, user)) {
        this.friend.loseOwner(this.nowMs, user);
      }
    }
    this.instances.splice(this.instances.indexOf(instanceId), 1);
    this.instancesChange();
    this.cluster.kill(instanceId);
  }

  private cut(): void {
    const instanceId = this.random.pick(this.instances);
    this.log(`the streams to ${instanceId} break`);
    this.breakFor(reopenMsMax);
    this.cluster.cut(instanceId);
  }

  /** Only of what is whole: edges that can't be heard for long are lost, and their users gone. */
  private swallow(): void {
    if (this.model.isBroken(this.nowMs)) return;
    const instanceId = this.random.pick(this.instances);
    this.log(`nothing passes the streams to ${instanceId} any more`);
    this.breakFor(swallowedMsMax);
    this.cluster.swallow(instanceId);
  }

  private async killEdge(): Promise<void> {
    const edge = this.edge();
    this.log(`${edge.edgeId} dies`);
    this.model.loseEdge(this.nowMs, edge.edgeId, this.cluster.linkDelayMs);
    await edge.kill();
    await this.replace(edge);
  }

  /** Its streams are not even closed. */
  private async loseEdgeMachine(): Promise<void> {
    if (this.model.isBroken(this.nowMs)) return;
    const edge = this.edge();
    this.log(`the machine of ${edge.edgeId} is gone`);
    const silentMsMax = beatIntervalMs + this.cluster.linkDelayMs;
    this.model.loseEdge(this.nowMs, edge.edgeId, silentMsMax);
    // The other edge's streams go the same way.
    this.breakFor(swallowedMsMax);
    for (const instanceId of this.instances) this.cluster.swallow(instanceId);
    await edge.kill();
    await this.replace(edge);
  }

  private stepClock(): void {
    const stepMs = this.random.between(-5_000, 5_000);
    this.log(`all clocks step by ${stepMs}`);
    this.cluster.clock.stepWallClock(stepMs);
  }

  private async replace(edge: Edge): Promise<void> {
    this.edges = this.edges.filter((other) => other !== edge);
    this.edges.push(await this.startEdge());
  }

  private async startEdge(): Promise<Edge> {
    const aheadMs = this.random.between(-20_000, 20_000);
    const { reportsMax } = this;
    const edge = new Edge(this.cluster, `edge-${++this.generation}`, { aheadMs, reportsMax });
    this.log(`${edge.edgeId} starts`);
    this.breakFor(0);
    await edge.start(this.cluster);
    return edge;
  }

  private instancesChange(): void {
    this.instancesKnownMs = this.nowMs + watchLagMsMax;
    this.settledMs = Number.POSITIVE_INFINITY;
    this.breakFor(watchLagMsMax + reopenMsMax);
  }

  private breakFor(ms: number): void {
    const untilMs = this.nowMs + ms + 3 * this.cluster.linkDelayMs;
    this.brokenUntilMs = Math.max(this.brokenUntilMs, untilMs);
    this.model.breakUntil(this.nowMs, untilMs);
    // Who has not settled waits for all that is broken meanwhile.
    if (this.nowMs < this.settledMs) this.settledMs = this.brokenUntilMs + graceMs;
  }

  private hear(told: string): void {
    const [user = "", status = ""] = told.split(" ");
    this.log(`${friendId} is told: ${user} ${status}`);
    const { nowMs } = this;
    if (status === "offline" && !this.model.mayBeOffline(nowMs, user)) {
      this.problem ??= `${user} was called offline, but was there within the grace time`;
    }
    this.friend.hear(nowMs, user, status);
  }

  /** Lets time pass, from one event to the next. */
  private async advance(ms: number): Promise<void> {
    const { clock } = this.cluster;
    const endMs = this.nowMs + ms;
    await this.happen();
    while (this.nowMs < endMs) {
      const nextMs = Math.min(clock.nextDueMs() ?? endMs, endMs);
      clock.advance(nextMs - this.nowMs);
      await this.happen();
    }
  }

  /** What follows without any time passing. */
  private async happen(): Promise<void> {
    await settle(5);
    this.cluster.clock.advance(0);
    await settle(5);
    await this.check();
  }

  private async check(): Promise<void> {
    this.events++;
    if (this.problem) throw new Violation(this.problem);
    const { nowMs, model, friend } = this;
    const answers = await this.cluster.get(this.instances[0]!, users);
    const rows = await this.cluster.store.get(users);
    for (const [i, user] of users.entries()) {
      const [, status = "", activeText] = answers[i]!.split(" ");
      const owner = rendezvous(user, this.instances)!;
      const told = friend.lastTold(user);
      const isSettled = nowMs >= this.settledMs;
      const fail = (what: string) => {
        throw new Violation(
          `${((nowMs - this.startMs) / 1_000).toFixed(3)} ${user} is ${status} at ${owner}, last told ${told}: ${what}`,
        );
      };
      if (status === "OFFLINE") {
        if (!model.mayBeOffline(nowMs, user)) fail("was there within the grace time");
        if (nowMs < this.startedMs.get(owner)! + graceMs) fail("the instance has just started");
      }
      if (model.mustBeOnline(nowMs, user) && !model.isBroken(nowMs)) {
        if (status !== "ONLINE") fail("is connected");
        if (!friend.mayBeWrong(user, isSettled) && told !== "online") fail("is connected");
      }
      if (model.mustBeOffline(nowMs, user) && isSettled) {
        if (status !== "OFFLINE") fail("has been away for the grace time");
        if (!friend.mayBeWrong(user, isSettled) && told === "online") {
          fail("has been away for the grace time");
        }
      }
      this.checkForward(user, Number(activeText ?? 0), rows[i]?.lastActiveMs ?? 0, fail);
    }
  }

  private checkForward(
    user: string,
    activeMs: number,
    storedMs: number,
    fail: (what: string) => void,
  ): void {
    // Whoever owns a user now has its own clock, and knows only what was stored.
    const isOwnerNew = this.nowMs <= this.instancesKnownMs;
    if (!isOwnerNew && activeMs > 0 && activeMs < (this.lastActive.get(user) ?? 0))
      fail(`was active at ${activeMs}, before ${this.lastActive.get(user)}, stored ${storedMs}`);
    this.lastActive.set(user, activeMs);
    if (storedMs < (this.stored.get(user) ?? 0)) fail("is stored to have been active earlier");
    this.stored.set(user, storedMs);
  }

  private edge(): Edge {
    return this.random.pick(this.edges);
  }

  private user(): string {
    return this.random.pick(users);
  }

  private device(): string {
    return this.random.pick(devices);
  }

  private deviceIdOf(user: string, device: string): string {
    return this.deviceIds.get(`${user}/${device}`) ?? device;
  }
}
