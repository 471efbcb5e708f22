import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { PresenceState } from "./presence-state.ts";

const graceMs = 30_000;

describe("PresenceState", () => {
  let clock: ManualClock;
  let state: PresenceState;
  let changes: string[];
  let lastActive: number;

  beforeEach(() => {
    clock = new ManualClock();
    changes = [];
    state = new PresenceState({
      clock,
      graceMs,
      onChange(userId, isOnline, lastActiveMs) {
        changes.push(`${userId} ${isOnline ? "online" : "offline"}`);
        lastActive = lastActiveMs;
      },
    });
  });

  it("[P1] a user is online from the first device on, and the second changes nothing", () => {
    state.attach("edge-1", "anna", "phone");
    state.attach("edge-1", "anna", "laptop");
    state.attach("edge-1", "anna", "phone");
    expect(changes).toEqual(["anna online"]);
  });

  it("[P2] a disconnected user is offline when the grace time is over, not before", () => {
    state.attach("edge-1", "anna", "phone");
    const detachedMs = clock.nowMs();
    state.detach("edge-1", "anna", "phone");
    clock.advance(graceMs - 1);
    expect(state.isOnline("anna")).toBe(true);
    clock.advance(1);
    expect(changes).toEqual(["anna online", "anna offline"]);
    expect(lastActive).toBe(detachedMs);
  });

  it("[P2] a short disruption never flickers, however often it comes", () => {
    state.attach("edge-1", "anna", "phone");
    for (let i = 0; i < 10; i++) {
      state.detach("edge-1", "anna", "phone");
      clock.advance(graceMs - 1);
      state.attach("edge-1", "anna", "phone");
      clock.advance(2);
    }
    expect(changes).toEqual(["anna online"]);
  });

  it("[P2] the end of a connection said twice does not lengthen the grace time", () => {
    state.attach("edge-1", "anna", "phone");
    state.detach("edge-1", "anna", "phone");
    clock.advance(graceMs - 1);
    state.detach("edge-1", "anna", "phone");
    clock.advance(1);
    expect(state.isOnline("anna")).toBe(false);
  });

  it("[P2] a log-out turns offline at once", () => {
    state.attach("edge-1", "anna", "phone");
    state.logOut("anna", "phone");
    expect(changes).toEqual(["anna online", "anna offline"]);
    expect(lastActive).toBe(clock.nowMs());
  });

  it("[P2] a log-out in the grace time turns offline at once", () => {
    state.attach("edge-1", "anna", "phone");
    state.detach("edge-1", "anna", "phone");
    state.logOut("anna", "phone");
    expect(state.isOnline("anna")).toBe(false);
    clock.advance(graceMs);
    expect(changes).toEqual(["anna online", "anna offline"]);
  });

  it("[P2] the log-out of one device leaves the other's presence", () => {
    state.attach("edge-1", "anna", "phone");
    state.attach("edge-2", "anna", "laptop");
    state.detach("edge-2", "anna", "laptop");
    state.logOut("anna", "phone");
    expect(state.isOnline("anna")).toBe(true);
    clock.advance(graceMs);
    expect(state.isOnline("anna")).toBe(false);
  });

  it("[P2] a log-out ends the device wherever it was connected", () => {
    state.attach("edge-1", "anna", "phone");
    state.attach("edge-2", "anna", "phone");
    state.logOut("anna", "phone");
    expect(state.isOnline("anna")).toBe(false);
  });

  it("[P5] a lost edge takes its users offline after the grace time", () => {
    state.hear("edge-1");
    state.attach("edge-1", "anna", "phone");
    clock.advance(2_000);
    state.hear("edge-1");
    const heardMs = clock.nowMs();
    clock.advance(9_000);
    state.loseEdge("edge-1");
    clock.advance(graceMs - 1);
    expect(state.isOnline("anna")).toBe(true);
    clock.advance(1);
    expect(changes).toEqual(["anna online", "anna offline"]);
    expect(lastActive).toBe(heardMs);
  });

  it("[P5] those who reconnected elsewhere stay online when their old edge is lost", () => {
    state.attach("edge-1", "anna", "phone");
    state.attach("edge-1", "ben", "phone");
    state.loseEdge("edge-1");
    clock.advance(1_000);
    state.attach("edge-2", "anna", "phone");
    clock.advance(graceMs);
    expect(changes).toEqual(["anna online", "ben online", "ben offline"]);
  });

  it("[P5] a device that moved before its old edge noticed stays online", () => {
    state.attach("edge-1", "anna", "phone");
    state.attach("edge-2", "anna", "phone");
    state.detach("edge-1", "anna", "phone");
    clock.advance(graceMs);
    expect(changes).toEqual(["anna online"]);
  });

  it("[P5] an edge that comes back names its devices; the others' grace time goes on", () => {
    state.attach("edge-1", "anna", "phone");
    state.attach("edge-1", "ben", "phone");
    state.loseEdge("edge-1");
    clock.advance(10_000);
    state.beginSnapshot("edge-1");
    state.attach("edge-1", "anna", "phone");
    state.endSnapshot("edge-1");
    clock.advance(graceMs - 10_000);
    expect(changes).toEqual(["anna online", "ben online", "ben offline"]);
  });

  it("[P5] a device that a snapshot does not name is disconnected", () => {
    state.beginSnapshot("edge-1");
    state.attach("edge-1", "anna", "phone");
    state.attach("edge-1", "ben", "phone");
    state.endSnapshot("edge-1");
    state.beginSnapshot("edge-1");
    state.attach("edge-1", "ben", "phone");
    // Broken off and begun anew: what the first part named counts no more.
    state.beginSnapshot("edge-1");
    state.attach("edge-1", "anna", "phone");
    state.endSnapshot("edge-1");
    clock.advance(graceMs);
    expect(changes).toEqual(["anna online", "ben online", "ben offline"]);
  });

  it("[P1] tells when a device was last heard of", () => {
    state.hear("edge-1");
    state.attach("edge-1", "anna", "phone");
    clock.advance(5_000);
    state.hear("edge-1");
    const heardMs = clock.nowMs();
    clock.advance(1_000);
    expect(state.lastActiveMs("anna")).toBe(heardMs);
    state.detach("edge-1", "anna", "phone");
    const detachedMs = clock.nowMs();
    clock.advance(1_000);
    expect(state.lastActiveMs("anna")).toBe(detachedMs);
    expect(state.lastActiveMs("ben")).toBeUndefined();
  });

  it("[P5] the users of a large edge go in slices, all of them", () => {
    for (let i = 0; i < 2_500; i++) state.attach("edge-1", `user-${i}`, "phone");
    state.loseEdge("edge-1");
    clock.advance(graceMs);
    expect(changes.filter((change) => change.endsWith("offline"))).toHaveLength(2_500);
  });

  it("[P2] one timer serves any number of users", () => {
    for (let i = 0; i < 100; i++) state.attach("edge-1", `user-${i}`, "phone");
    expect(clock.nextDueMs()).toBeUndefined();
    for (let i = 0; i < 100; i++) state.detach("edge-1", `user-${i}`, "phone");
    state.stop();
    expect(clock.nextDueMs()).toBeUndefined();
  });
});

/** The same rules, in the plainest words: for each edge, user and device, until when it counts. */
class Model {
  private readonly until = new Map<string, number>();
  private nowMs = 0;

  apply(command: Command): void {
    const { kind, edge, user, device } = command;
    const key = `${edge}/${user}/${device}`;
    if (kind === "attach") this.until.set(key, Number.POSITIVE_INFINITY);
    if (kind === "detach") this.leave((other) => other === key);
    if (kind === "logOut") this.drop((other) => other.endsWith(`/${user}/${device}`));
    if (kind === "loseEdge") this.leave((other) => other.startsWith(`${edge}/`));
    if (kind === "snapshot") {
      this.leave((other) => other.startsWith(`${edge}/`) && other !== key);
      this.until.set(key, Number.POSITIVE_INFINITY);
    }
  }

  advance(ms: number): void {
    this.nowMs += ms;
    this.drop((key) => this.until.get(key)! <= this.nowMs);
  }

  isOnline(user: string): boolean {
    return [...this.until.keys()].some((key) => key.split("/")[1] === user);
  }

  private leave(matches: (key: string) => boolean): void {
    for (const [key, untilMs] of this.until) {
      const isLive = untilMs === Number.POSITIVE_INFINITY;
      if (isLive && matches(key)) this.until.set(key, this.nowMs + graceMs);
    }
  }

  private drop(matches: (key: string) => boolean): void {
    for (const key of [...this.until.keys()]) if (matches(key)) this.until.delete(key);
  }
}

const users = ["anna", "ben"];
const edges = ["edge-1", "edge-2", "edge-3"];
const commands = fc.record({
  kind: fc.constantFrom("attach", "attach", "detach", "logOut", "loseEdge", "snapshot"),
  edge: fc.constantFrom(...edges),
  user: fc.constantFrom(...users),
  device: fc.constantFrom("phone", "laptop"),
  afterMs: fc.constantFrom(0, 0, 1, 10_000, 29_999, 30_000, 45_000),
});
type Command = typeof commands extends fc.Arbitrary<infer T> ? T : never;

function apply(state: PresenceState, { kind, edge, user, device }: Command): void {
  if (kind === "attach") state.attach(edge, user, device);
  if (kind === "detach") state.detach(edge, user, device);
  if (kind === "logOut") state.logOut(user, device);
  if (kind === "loseEdge") state.loseEdge(edge);
  if (kind === "snapshot") {
    state.beginSnapshot(edge);
    state.attach(edge, user, device);
    state.endSnapshot(edge);
  }
}

describe("PresenceState and its model", () => {
  it("[P2] [P5] agree on who is online whatever happens, and each change is told once", () => {
    fc.assert(
      fc.property(fc.array(commands, { maxLength: 60 }), (steps) => {
        const clock = new ManualClock();
        const model = new Model();
        const told = new Map<string, boolean>();
        const state = new PresenceState({
          clock,
          graceMs,
          onChange(userId, isOnline) {
            expect(told.get(userId) ?? false).toBe(!isOnline);
            told.set(userId, isOnline);
          },
        });
        for (const step of steps) {
          clock.advance(step.afterMs);
          model.advance(step.afterMs);
          apply(state, step);
          model.apply(step);
          for (const user of users) {
            expect([user, state.isOnline(user)]).toEqual([user, model.isOnline(user)]);
            expect(told.get(user) ?? false).toBe(model.isOnline(user));
          }
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
