import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../mesh/clock-manual.ts";
import { mentionableNames } from "./mentions.ts";
import { Usernames } from "./usernames.ts";

describe("the names that a text may mention", () => {
  it("[M9] are what follows an @, in any script's company", () => {
    expect(mentionableNames("@Ann, (@ben) and @c_d-e!")).toEqual(["ann", "ben", "c_d-e"]);
    expect(mentionableNames("你好@ann你好 ＠ben さん")).toEqual(["ann", "ben"]);
    expect(mentionableNames("привет @ann")).toEqual(["ann"]);
  });

  it("[M9] are no addresses, parts of words or of other names", () => {
    expect(mentionableNames("ann@ben.example a@@ann ann@ben é@ann @annä @an")).toEqual([]);
    expect(mentionableNames(`@${"a".repeat(33)}`)).toEqual([]);
    expect(mentionableNames(`@${"a".repeat(32)}`)).toEqual(["a".repeat(32)]);
  });

  it("[M9] may or may not end with the sentence's full stop", () => {
    expect(mentionableNames("for @ann.")).toEqual(["ann.", "ann"]);
    expect(mentionableNames("@a.b. @---")).toEqual(["a.b.", "a.b", "---"]);
  });

  it("[M9] are the first 50", () => {
    const names = Array.from({ length: 60 }, (_, i) => `user${i}`);
    expect(mentionableNames(names.map((name) => `@${name}`).join(" "))).toEqual(names.slice(0, 50));
  });
});

describe("user names", () => {
  it("[M9] are asked for once in five minutes, those of nobody too", async () => {
    const clock = new ManualClock();
    const asked: string[][] = [];
    const usernames = new Usernames(async (names) => {
      asked.push([...names]);
      return names
        .filter((name) => name !== "nobody")
        .map((name) => ({ userId: `id-${name}`, username: name }));
    }, clock);
    const resolve = async (...names: string[]) =>
      Object.fromEntries(await usernames.resolve(names, "ann"));
    expect(await resolve("ben", "nobody")).toEqual({ ben: "id-ben" });
    expect(await resolve("ben", "nobody", "cem")).toEqual({ ben: "id-ben", cem: "id-cem" });
    clock.advance(5 * 60_000 + 1);
    await resolve("ben");
    expect(asked).toEqual([["ben", "nobody"], ["cem"], ["ben"]]);
  });

  it("[R2] [M9] that can't be looked up are as they were known, or nobody's", async () => {
    const clock = new ManualClock();
    let calls = 0;
    let away = false;
    const usernames = new Usernames(async ([name]) => {
      calls++;
      if (away) throw new Error("away");
      return [{ userId: "id", username: name! }];
    }, clock);
    await usernames.resolve(["ben"], "ann");
    away = true;
    clock.advance(6 * 60_000);
    for (let n = 0; n < 3; n++) {
      expect(await usernames.resolve(["ben"], "ann")).toEqual(new Map([["ben", "id"]]));
    }
    expect(await usernames.resolve(["cem"], "ann")).toEqual(new Map());
    expect(calls).toBe(2);
  });
});
