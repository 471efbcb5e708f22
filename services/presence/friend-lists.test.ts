import { describe, expect, it } from "vitest";
import { Audience } from "../../gen/parley/session/v1/session_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { Code, RpcError } from "../../mesh/errors.ts";
import { type FriendList, FriendLists } from "./friend-lists.ts";

const maxAgeMs = 30_000;
const listOf = (...userIds: string[]): FriendList => ({
  userIds,
  presenceAudience: Audience.EVERYBODY,
});

function friendLists(load: (userId: string) => Promise<FriendList>) {
  const clock = new ManualClock();
  let loads = 0;
  const counted = (userId: string) => {
    loads++;
    return load(userId);
  };
  return { clock, lists: new FriendLists({ load: counted, maxAgeMs, clock }), loads: () => loads };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("FriendLists", () => {
  it("[P3] asks once for those who ask at once, and again when the answer is old", async () => {
    const { lists, loads, clock } = friendLists(async () => listOf("ben"));
    await Promise.all([lists.get("anna"), lists.get("anna")]);
    clock.advance(maxAgeMs - 1);
    expect(await lists.get("anna")).toEqual(listOf("ben"));
    expect(loads()).toBe(1);
    clock.advance(1);
    await lists.get("anna");
    expect(loads()).toBe(2);
  });

  it("[P3] goes on with what it knew while Session is away", async () => {
    let isAway = false;
    const { lists, clock } = friendLists(async () => {
      if (isAway) throw new RpcError(Code.UNAVAILABLE, "UNAVAILABLE", "away");
      return listOf("ben");
    });
    await lists.get("anna");
    isAway = true;
    clock.advance(10 * maxAgeMs);
    expect(await lists.get("anna")).toEqual(listOf("ben"));
    expect(await lists.get("carl")).toBeUndefined();
  });

  it("[P6] a user whom Session does not know has nothing to hide", async () => {
    const { lists } = friendLists(async () => {
      throw new RpcError(Code.NOT_FOUND, "USER_NOT_FOUND", "no such user");
    });
    expect(await lists.get("nobody")).toEqual(listOf());
  });

  it("asks Session 64 things at once, the rest in turn", async () => {
    const answers: (() => void)[] = [];
    const { lists, loads } = friendLists(
      (userId) => new Promise((resolve) => answers.push(() => resolve(listOf(userId)))),
    );
    const all = Array.from({ length: 100 }, (_, i) => lists.get(`user-${i}`));
    await settle();
    expect(loads()).toBe(64);
    answers.shift()!();
    await settle();
    expect(loads()).toBe(65);
    while (answers.length > 0) {
      answers.shift()!();
      await settle();
    }
    expect((await Promise.all(all)).map((list) => list?.userIds[0])).toEqual(
      Array.from({ length: 100 }, (_, i) => `user-${i}`),
    );
  });

  it("gives up at once when 10,000 users are being looked up", async () => {
    const { lists } = friendLists(() => new Promise(() => {}));
    for (let i = 0; i < 10_000; i++) void lists.get(`user-${i}`);
    expect(await lists.get("anna")).toBeUndefined();
  });

  it("remembers 500,000 friends; the list used longest ago goes first", async () => {
    const many = Array.from({ length: 99_999 }, (_, i) => `friend-${i}`);
    const { lists, loads } = friendLists(async () => listOf(...many));
    for (const userId of ["a", "b", "c", "d", "e"]) await lists.get(userId);
    await lists.get("a");
    expect(loads()).toBe(5);
    await lists.get("f");
    await lists.get("a");
    expect(loads()).toBe(6);
    await lists.get("b");
    expect(loads()).toBe(7);
  });
});
