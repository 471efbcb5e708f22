import { expect, it } from "vitest";
import { ConcurrencyLimit } from "./concurrency-limit.ts";
import { DomainError } from "./errors.ts";

it("[R1] so many calls run at once, so many wait, and further ones are told when to come back", async () => {
  const limit = new ConcurrencyLimit({ atOnceMax: 3, waitingMax: 5 });
  const { promise, resolve } = Promise.withResolvers<string>();
  let begun = 0;
  const work = () => {
    begun++;
    return promise;
  };
  const leaving = new AbortController();
  const taken = Array.from({ length: 7 }, () => limit.run(work));
  const gone = expect(limit.run(work, leaving.signal)).rejects.toThrow("gone");
  const refused = await limit.run(work).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(DomainError);
  expect(refused).toMatchObject({ reason: "OVERLOADED" });
  expect(begun).toBe(3);
  leaving.abort(new Error("gone"));
  resolve("done");
  expect(new Set(await Promise.all(taken))).toEqual(new Set(["done"]));
  await gone;
  expect(begun).toBe(7);
});
