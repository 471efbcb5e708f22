import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { within } from "./lifecycle.ts";

describe("within", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("[R1] ends with the part, well or not, and leaves no timer that keeps the process", async () => {
    await within(60_000, Promise.resolve());
    await expect(within(60_000, Promise.reject(new Error("lost")))).rejects.toThrow("lost");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("[R1] does not wait for a part that hangs", async () => {
    const ended = within(60_000, new Promise(() => {}));
    vi.advanceTimersByTime(60_000);
    await ended;
  });
});
