/** The transitions of docs/PRESENCE.md, as its table names them. */
import { beforeEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { PresenceState } from "./presence-state.ts";

const graceMs = 30_000;
const beatMs = 5_000;

let clock: ManualClock;
let state: PresenceState;
let changes: string[];
let lastActiveMs: number;

beforeEach(() => {
  clock = new ManualClock();
  changes = [];
  state = new PresenceState({
    clock,
    graceMs,
    onChange(userId, isOnline, activeMs) {
      changes.push(`${userId} ${isOnline ? "online" : "offline"}`);
      lastActiveMs = activeMs;
    },
  });
});

/** What an edge reports, as it reaches the state. */
function edge(edgeId: string) {
  const heard = (report: () => void) => {
    state.hear(edgeId);
    report();
  };
  return {
    beats: () => state.hear(edgeId),
    attaches: (userId: string, device = "phone") =>
      heard(() => state.attach(edgeId, userId, device)),
    detaches: (userId: string, device = "phone", silentMs = 0) =>
      heard(() => state.detach(edgeId, userId, device, silentMs)),
    logsOut: (userId: string, device = "phone") => heard(() => state.logOut(userId, device)),
    names: (...userIds: string[]) =>
      heard(() => {
        state.beginSnapshot(edgeId);
        for (const userId of userIds) state.attach(edgeId, userId, "phone");
        state.endSnapshot(edgeId);
      }),
    breaks: () => state.loseEdge(edgeId),
    isSilentFor: (silentMs: number) => state.loseEdge(edgeId, silentMs),
  };
}

describe("an attachment", () => {
  it("[P1] none → CONNECTED: a device connects, and its user is online", () => {
    edge("e1").attaches("anna");
    expect(changes).toEqual(["anna online"]);
  });

  it("[P1] CONNECTED → CONNECTED: what is said again changes nothing", () => {
    edge("e1").attaches("anna");
    edge("e1").attaches("anna");
    edge("e1").names("anna");
    clock.advance(2 * graceMs);
    expect(changes).toEqual(["anna online"]);
  });

  it("[P2] CONNECTED → IN GRACE: the connection ends, and its user stays online", () => {
    edge("e1").attaches("anna");
    edge("e1").detaches("anna");
    clock.advance(graceMs - 1);
    expect(state.isOnline("anna")).toBe(true);
  });

  it("[P2] CONNECTED → IN GRACE: silence before the end has used up so much of it", () => {
    edge("e1").attaches("anna");
    edge("e1").detaches("anna", "phone", 12_000);
    clock.advance(graceMs - 12_000 - 1);
    expect(state.isOnline("anna")).toBe(true);
    clock.advance(1);
    expect(changes).toEqual(["anna online", "anna offline"]);
  });

  it("[P2] CONNECTED → IN GRACE → ended: after silence of the whole grace time at once", () => {
    edge("e1").attaches("anna");
    edge("e1").detaches("anna", "phone", graceMs);
    clock.advance(0);
    expect(changes).toEqual(["anna online", "anna offline"]);
  });

  it("[P5] CONNECTED → IN GRACE: a snapshot does not name it", () => {
    edge("e1").names("anna", "ben");
    state.beginSnapshot("e1");
    state.attach("e1", "ben", "phone");
    // Broken off and begun anew: what the first part named counts no more.
    edge("e1").names("anna");
    clock.advance(graceMs - 1);
    expect(changes).toEqual(["anna online", "ben online"]);
    clock.advance(1);
    expect(changes).toEqual(["anna online", "ben online", "ben offline"]);
  });

  it("[P2] IN GRACE → CONNECTED: the device is back, however often, and nobody flickers", () => {
    edge("e1").attaches("anna");
    for (let i = 0; i < 10; i++) {
      edge("e1").detaches("anna");
      clock.advance(graceMs - 1);
      edge("e1").attaches("anna");
      clock.advance(2);
    }
    expect(changes).toEqual(["anna online"]);
  });

  it("[P2] IN GRACE → IN GRACE: an end that is said twice does not lengthen the grace time", () => {
    edge("e1").attaches("anna");
    edge("e1").detaches("anna");
    clock.advance(graceMs - 1);
    edge("e1").detaches("anna");
    edge("e1").names();
    clock.advance(1);
    expect(state.isOnline("anna")).toBe(false);
  });

  it("[P2] IN GRACE → ended: the grace time is over, not before", () => {
    edge("e1").attaches("anna");
    const detachedMs = clock.nowMs();
    edge("e1").detaches("anna");
    clock.advance(graceMs - 1);
    expect(changes).toEqual(["anna online"]);
    clock.advance(1);
    expect(changes).toEqual(["anna online", "anna offline"]);
    expect(lastActiveMs).toBe(detachedMs);
  });

  it("[P2] CONNECTED → ended: a log-out has no grace, wherever the device was connected", () => {
    edge("e1").attaches("anna");
    edge("e2").attaches("anna");
    edge("e1").logsOut("anna");
    expect(changes).toEqual(["anna online", "anna offline"]);
    expect(lastActiveMs).toBe(clock.nowMs());
  });

  it("[P2] IN GRACE → ended: a log-out ends the grace time", () => {
    edge("e1").attaches("anna");
    edge("e1").detaches("anna");
    edge("e1").logsOut("anna");
    clock.advance(graceMs);
    expect(changes).toEqual(["anna online", "anna offline"]);
  });

  it("[P2] ends in its own time, in whichever order the ends were reported", () => {
    for (const [i, userId] of ["anna", "ben", "carl"].entries()) {
      edge("e1").attaches(userId);
      edge("e1").detaches(userId, "phone", i * 10_000);
    }
    clock.advance(graceMs);
    expect(changes.slice(3)).toEqual(["carl offline", "ben offline", "anna offline"]);
  });
});

describe("a user", () => {
  it("[P1] OFFLINE → ONLINE: the first attachment; a second changes nothing", () => {
    edge("e1").attaches("anna", "phone");
    edge("e1").attaches("anna", "laptop");
    edge("e2").attaches("anna", "laptop");
    expect(changes).toEqual(["anna online"]);
  });

  it("[P2] ONLINE → OFFLINE: the last attachment ends", () => {
    edge("e1").attaches("anna", "phone");
    edge("e2").attaches("anna", "laptop");
    edge("e2").detaches("anna", "laptop");
    edge("e1").logsOut("anna", "phone");
    expect(state.isOnline("anna")).toBe(true);
    clock.advance(graceMs);
    expect(changes).toEqual(["anna online", "anna offline"]);
  });

  it("[P1] was active as long as a device is connected, by the beats of its edge", () => {
    edge("e1").attaches("anna");
    clock.advance(beatMs);
    edge("e1").beats();
    const heardMs = clock.nowMs();
    clock.advance(1_000);
    expect(state.lastActiveMs("anna")).toBe(heardMs);
    edge("e1").detaches("anna");
    const detachedMs = clock.nowMs();
    clock.advance(1_000);
    expect(state.lastActiveMs("anna")).toBe(detachedMs);
    expect(state.lastActiveMs("ben")).toBeUndefined();
  });

  it("[P1] was never active earlier than said before, whatever the wall clock does", () => {
    edge("e1").attaches("anna");
    edge("e2").attaches("anna", "laptop");
    const saidMs = state.lastActiveMs("anna")!;
    clock.stepWallClock(-3_600_000);
    edge("e1").beats();
    edge("e1").detaches("anna");
    edge("e2").detaches("anna", "laptop", 20_000);
    expect(state.lastActiveMs("anna")).toBe(saidMs);
    clock.advance(10_000);
    expect(state.lastActiveMs("anna")).toBe(saidMs);
    clock.advance(graceMs);
    expect(lastActiveMs).toBe(saidMs);
  });
});

describe("an edge", () => {
  it("[P5] LINKED → LOST: its stream breaks, and its users stay online", () => {
    edge("e1").attaches("anna");
    edge("e1").breaks();
    clock.advance(graceMs - 1);
    expect(changes).toEqual(["anna online"]);
  });

  it("[P5] LINKED → LOST: silence has used up so much of the grace time", () => {
    edge("e1").attaches("anna");
    clock.advance(3 * beatMs);
    edge("e1").isSilentFor(3 * beatMs);
    clock.advance(graceMs - 3 * beatMs - 1);
    expect(changes).toEqual(["anna online"]);
    clock.advance(1);
    expect(changes).toEqual(["anna online", "anna offline"]);
  });

  it("[P5] LOST → LOST: a loss that is noticed twice does not lengthen the grace time", () => {
    edge("e1").attaches("anna");
    edge("e1").breaks();
    clock.advance(graceMs - 1);
    edge("e1").breaks();
    clock.advance(1);
    expect(state.isOnline("anna")).toBe(false);
  });

  it("[P5] LOST → LINKED: it is back and names its devices; the others' grace time begins", () => {
    edge("e1").names("anna", "ben");
    edge("e1").breaks();
    clock.advance(10_000);
    edge("e1").names("anna");
    clock.advance(graceMs - 1);
    expect(changes).toEqual(["anna online", "ben online"]);
    clock.advance(1);
    expect(changes).toEqual(["anna online", "ben online", "ben offline"]);
  });

  it("[P5] LOST → LINKED: it is back and says when a device left meanwhile", () => {
    edge("e1").attaches("anna");
    edge("e1").breaks();
    clock.advance(10_000);
    state.hear("e1");
    state.beginSnapshot("e1");
    state.detach("e1", "anna", "phone", 7_000);
    state.endSnapshot("e1");
    clock.advance(graceMs - 7_000 - 1);
    expect(state.isOnline("anna")).toBe(true);
    clock.advance(1);
    expect(state.isOnline("anna")).toBe(false);
  });

  it("[P5] LOST → gone: its users are offline, but for those who connected elsewhere", () => {
    edge("e1").names("anna", "ben");
    const heardMs = clock.nowMs();
    clock.advance(2_000);
    edge("e1").breaks();
    clock.advance(1_000);
    edge("e2").attaches("anna");
    clock.advance(graceMs);
    expect(changes).toEqual(["anna online", "ben online", "ben offline"]);
    expect(lastActiveMs).toBe(heardMs);
    expect(state.isOnline("anna")).toBe(true);
  });

  it("[P5] LOST → gone: who was in grace before goes at its own time", () => {
    edge("e1").names("anna", "ben");
    edge("e1").detaches("anna");
    clock.advance(10_000);
    edge("e1").breaks();
    clock.advance(graceMs - 10_000);
    expect(changes.slice(2)).toEqual(["anna offline"]);
    clock.advance(10_000);
    expect(changes.slice(2)).toEqual(["anna offline", "ben offline"]);
  });

  it("[P5] LOST → gone: the users of a large edge go in slices, all of them", () => {
    for (let i = 0; i < 2_500; i++) edge("e1").attaches(`user-${i}`);
    edge("e1").breaks();
    clock.advance(graceMs);
    expect(changes.filter((change) => change.endsWith("offline"))).toHaveLength(2_500);
  });

  it("[P5] a device that moved before its old edge noticed stays online", () => {
    edge("e1").attaches("anna");
    edge("e2").attaches("anna");
    edge("e1").detaches("anna", "phone", graceMs);
    clock.advance(graceMs);
    expect(changes).toEqual(["anna online"]);
  });
});

it("[P2] one timer serves any number of users", () => {
  for (let i = 0; i < 100; i++) edge("e1").attaches(`user-${i}`);
  expect(clock.nextDueMs()).toBeUndefined();
  for (let i = 0; i < 100; i++) edge("e1").detaches(`user-${i}`, "phone", i * 10);
  state.stop();
  expect(clock.nextDueMs()).toBeUndefined();
});
