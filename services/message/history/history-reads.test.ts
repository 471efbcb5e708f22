import { expect, it } from "vitest";
import { DomainError } from "../../../mesh/errors.ts";
import { HistoryReads } from "./history-reads.ts";

it("[R1] so many histories are read at once, so many wait, and further ones are told when to come back", async () => {
  const reads = new HistoryReads();
  const { promise, resolve } = Promise.withResolvers<string>();
  let begun = 0;
  const read = () => {
    begun++;
    return promise;
  };
  const taken = Array.from({ length: 64 + 256 }, () => reads.run(read));
  const refused = await reads.run(read).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(DomainError);
  expect(refused).toMatchObject({ reason: "OVERLOADED" });
  expect(begun).toBe(64);
  const gone = AbortSignal.abort(new Error("gone"));
  await expect(reads.run(read, gone)).rejects.toThrow("gone");
  resolve("page");
  expect(new Set(await Promise.all(taken))).toEqual(new Set(["page"]));
  expect(begun).toBe(64 + 256);
});
