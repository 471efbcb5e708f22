import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DoNotDisturbSchema } from "../../gen/parley/session/v1/session_pb.js";
import { isQuietAt, requireDoNotDisturb } from "./do-not-disturb.ts";

type Init = MessageInitShape<typeof DoNotDisturbSchema>;

const quietAt = (init: Init, time: string) =>
  isQuietAt(create(DoNotDisturbSchema, init), Date.parse(time));
const check = (init: Init) => requireDoNotDisturb("dnd", create(DoNotDisturbSchema, init));

const minuteMs = 60_000;
const dayMinutes = 1_440;

describe("do not disturb", () => {
  it("[N2] empty: every push comes", () => {
    expect(quietAt({}, "2026-11-22T12:00:00Z")).toBe(false);
  });

  it("[N2] on: none comes, until its end if it has one", () => {
    const untilTime = timestampFromMs(Date.parse("2026-11-22T12:00:00Z"));
    expect(quietAt({ on: true }, "2026-11-22T12:00:00Z")).toBe(true);
    expect(quietAt({ on: true, untilTime }, "2026-11-22T11:59:59.999Z")).toBe(true);
    expect(quietAt({ on: true, untilTime }, "2026-11-22T12:00:00Z")).toBe(false);
    expect(quietAt({ untilTime }, "2026-11-22T11:00:00Z")).toBe(false);
  });

  it("[N2] a night lasts from its start to before its end, on the day after", () => {
    // 2026-11-22 is a Sunday.
    const nights = {
      schedule: [{ weekday: 7, startMinute: 22 * 60, endMinute: 7 * 60 }],
      timeZone: "Europe/Berlin",
    };
    expect(quietAt(nights, "2026-11-22T20:59:59Z")).toBe(false);
    expect(quietAt(nights, "2026-11-22T21:00:00Z")).toBe(true);
    expect(quietAt(nights, "2026-11-23T05:59:59Z")).toBe(true);
    expect(quietAt(nights, "2026-11-23T06:00:00Z")).toBe(false);
    expect(quietAt(nights, "2026-11-23T21:00:00Z")).toBe(false);
  });

  it("[N2] an end at the start is a whole day's", () => {
    const day = { schedule: [{ weekday: 3, startMinute: 60, endMinute: 60 }] };
    expect(quietAt(day, "2026-11-25T00:59:00Z")).toBe(false);
    expect(quietAt(day, "2026-11-25T01:00:00Z")).toBe(true);
    expect(quietAt(day, "2026-11-26T00:59:00Z")).toBe(true);
    expect(quietAt(day, "2026-11-26T01:00:00Z")).toBe(false);
  });

  it("[N2] follows the clock on the wall in summer and winter", () => {
    const morning = (weekday: number) => ({
      schedule: [{ weekday, startMinute: 8 * 60, endMinute: 9 * 60 }],
      timeZone: "America/New_York",
    });
    expect(quietAt(morning(3), "2026-07-15T12:30:00Z")).toBe(true);
    expect(quietAt(morning(3), "2026-01-14T12:30:00Z")).toBe(false);
    expect(quietAt(morning(3), "2026-01-14T13:30:00Z")).toBe(true);
  });

  it("[N2] is quiet in exactly the minutes that the periods have", () => {
    const period = fc.record({
      weekday: fc.integer({ min: 1, max: 7 }),
      startMinute: fc.integer({ min: 0, max: dayMinutes - 1 }),
      endMinute: fc.integer({ min: 0, max: dayMinutes - 1 }),
    });
    const monday = Date.parse("2026-11-23T00:00:00Z");
    fc.assert(
      fc.property(
        fc.array(period, { maxLength: 28 }),
        fc.nat(7 * dayMinutes - 1),
        (schedule, at) => {
          const quiet = new Set<number>();
          for (const { weekday, startMinute, endMinute } of schedule) {
            let minute = (weekday - 1) * dayMinutes + startMinute;
            do {
              quiet.add(minute);
              minute = (minute + 1) % (7 * dayMinutes);
            } while (minute % dayMinutes !== endMinute);
          }
          const dnd = create(DoNotDisturbSchema, { schedule });
          expect(isQuietAt(dnd, monday + at * minuteMs)).toBe(quiet.has(at));
        },
      ),
      { numRuns: 200 },
    );
  });

  it.each<[Init, string]>([
    [{ schedule: [{ weekday: 0 }] }, "dnd.schedule[0].weekday: 0 is not 1 to 7"],
    [{ schedule: [{ weekday: 8 }] }, "dnd.schedule[0].weekday: 8 is not 1 to 7"],
    [
      { schedule: [{ weekday: 1 }, { weekday: 1, startMinute: 1_440 }] },
      "dnd.schedule[1].start_minute: 1440 is not 0 to 1439",
    ],
    [
      { schedule: [{ weekday: 1, endMinute: -1 }] },
      "dnd.schedule[0].end_minute: -1 is not 0 to 1439",
    ],
    [
      { schedule: Array.from({ length: 29 }, () => ({ weekday: 1 })) },
      "dnd.schedule: 29 are more than 28",
    ],
    [{ untilTime: { seconds: -1n } }, "dnd.until_time: it lies before 1970 or after 9999"],
    [{ untilTime: { seconds: 1n << 60n } }, "dnd.until_time: it lies before 1970 or after 9999"],
    [{ timeZone: "+02:00" }, 'dnd.time_zone: "+02:00" is not in the IANA database'],
    [{ timeZone: "Mars/Olympus" }, 'dnd.time_zone: "Mars/Olympus" is not in the IANA database'],
    [
      { timeZone: "x".repeat(99) },
      `dnd.time_zone: "${"x".repeat(64)}" is not in the IANA database`,
    ],
  ])("[N2] what can't be is refused (%#)", (init, message) => {
    expect(() => check(init)).toThrow(message);
  });

  it("[N2] takes the names of the IANA database", () => {
    for (const timeZone of ["", "UTC", "Etc/GMT+5", "America/Argentina/Buenos_Aires"]) {
      check({ timeZone, schedule: [{ weekday: 1, startMinute: 0, endMinute: 0 }] });
    }
  });
});
