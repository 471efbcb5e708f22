import { expect, it } from "vitest";
import { ManualClock } from "./clock-manual.ts";
import { DedupeWindow } from "./streams-dedupe.ts";

it("[M5] an id is remembered for two minutes", () => {
  const clock = new ManualClock();
  const dedupe = new DedupeWindow(clock);
  dedupe.remember("a", 7);
  clock.advance(119_999);
  expect(dedupe.sequenceOf("a")).toBe(7);
  clock.advance(1);
  expect(dedupe.sequenceOf("a")).toBeUndefined();
  dedupe.remember("b", 8);
  dedupe.forget("b");
  expect(dedupe.sequenceOf("b")).toBeUndefined();
});
