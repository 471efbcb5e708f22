import { describe, expect, it } from "vitest";
import { systemClock } from "./clock.ts";

describe("the system's clock", () => {
  it("never calls back before the delay is over, though the timer is set late in a busy turn", async () => {
    for (let n = 0; n < 20; n++) {
      const earlyMs = await new Promise<number>((resolve) => {
        setImmediate(() => {
          const busyUntilMs = performance.now() + 15;
          while (performance.now() < busyUntilMs);
          const dueMs = systemClock.monotonicMs() + 10;
          systemClock.setTimer(10, () => resolve(dueMs - systemClock.monotonicMs()));
        });
      });
      expect(earlyMs).toBeLessThanOrEqual(0);
    }
  });

  it("does not call back once the timer is cancelled", async () => {
    let calls = 0;
    systemClock.setTimer(1, () => calls++).cancel();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(calls).toBe(0);
  });
});
