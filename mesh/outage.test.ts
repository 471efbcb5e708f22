import { describe, expect, it } from "vitest";
import { ManualClock } from "./clock-manual.ts";
import type { LogFields } from "./logger.ts";
import { Outage, quietMs } from "./outage.ts";

describe("an outage", () => {
  const clock = new ManualClock();
  const lines: LogFields[] = [];
  const add = (fields: LogFields) => void lines.push(fields);
  const logger = { debug: add, info: add, warn: add, error: add };
  const outage = new Outage({ logger, clock, level: "warn", began: "lost", ended: "found" });
  const said = () => lines.splice(0);

  it("[O2] is told of once, with its first failure", () => {
    outage.worked();
    const err = new Error("first");
    outage.failed(err, { channelId: "g-1" });
    outage.failed(new Error("second"));
    expect(said()).toEqual([{ event: "lost", channelId: "g-1", err }]);
  });

  it("[O2] goes on while some attempts work and others fail", () => {
    for (let i = 0; i < 5; i++) {
      outage.worked();
      clock.advance(quietMs - 1);
      outage.failed(new Error("again"));
    }
    expect(said()).toEqual([]);
  });

  it("[O2] is over when nothing has failed for a while, and told of with how much has", () => {
    outage.worked();
    clock.advance(quietMs);
    expect(said()).toEqual([{ event: "found", failures: 7 }]);
    outage.worked();
    clock.advance(quietMs);
    expect(said()).toEqual([]);
  });

  it("[O2] is told of anew when it comes again", () => {
    outage.failed(new Error("anew"));
    expect(said()).toMatchObject([{ event: "lost" }]);
  });
});
