/** When an account wants no push: checked when it is set, asked when a push is due. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { DoNotDisturb, QuietPeriod } from "../../gen/parley/session/v1/session_pb.js";
import { fieldInvalid } from "../../mesh/errors.ts";

const dayMinutes = 24 * 60;
const weekMinutes = 7 * dayMinutes;
const periodsMax = 28;
/** No name of the IANA database is longer than half of it. */
const timeZoneLengthMax = 64;
/** The last time that Protobuf's JSON can tell, in ms since 1970. */
const timeMsMax = Date.UTC(10_000, 0) - 1;

/** Checks what a caller sends. @throws DomainError FIELD_INVALID */
export function requireDoNotDisturb(field: string, value: DoNotDisturb): void {
  const { untilTime, schedule, timeZone } = value;
  if (untilTime && !(timestampMs(untilTime) >= 0 && timestampMs(untilTime) <= timeMsMax)) {
    throw fieldInvalid(`${field}.until_time`, "it lies before 1970 or after 9999");
  }
  if (schedule.length > periodsMax) {
    throw fieldInvalid(`${field}.schedule`, `${schedule.length} are more than ${periodsMax}`);
  }
  schedule.forEach(({ weekday, startMinute, endMinute }, i) => {
    const period = `${field}.schedule[${i}]`;
    requireWithin(`${period}.weekday`, weekday, 1, 7);
    requireWithin(`${period}.start_minute`, startMinute, 0, dayMinutes - 1);
    requireWithin(`${period}.end_minute`, endMinute, 0, dayMinutes - 1);
  });
  if (!isTimeZone(timeZone)) {
    const shown = JSON.stringify(timeZone.slice(0, timeZoneLengthMax));
    throw fieldInvalid(`${field}.time_zone`, `${shown} is not in the IANA database`);
  }
}

/** Whether an account wants no push at this time. */
export function isQuietAt(value: DoNotDisturb, nowMs: number): boolean {
  const { on, untilTime, schedule, timeZone } = value;
  if (on && (!untilTime || nowMs < timestampMs(untilTime))) return true;
  if (schedule.length === 0) return false;
  const minute = minuteOfWeek(nowMs, timeZone);
  return schedule.some((period) => isWithin(period, minute));
}

function isWithin({ weekday, startMinute, endMinute }: QuietPeriod, minute: number): boolean {
  const start = (weekday - 1) * dayMinutes + startMinute;
  const length =
    endMinute > startMinute ? endMinute - startMinute : nextDay(endMinute, startMinute);
  // Sunday's may reach into Monday.
  return (minute - start + weekMinutes) % weekMinutes < length;
}

function nextDay(endMinute: number, startMinute: number): number {
  return endMinute + dayMinutes - startMinute;
}

const weekdays = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/** The minute of the week there, from Monday 0:00. */
function minuteOfWeek(nowMs: number, timeZone: string): number {
  const parts = clockOf(timeZone).formatToParts(nowMs);
  const part = (type: Intl.DateTimeFormatPartTypes) =>
    parts.find((each) => each.type === type)!.value;
  const weekday = weekdays.indexOf(part("weekday"));
  return weekday * dayMinutes + Number(part("hour")) * 60 + Number(part("minute"));
}

/** Making one takes 50 times as long as asking it. There are about 600 names, in any case. */
const clocks = new Map<string, Intl.DateTimeFormat>();
const clocksMax = 1_000;

/** @throws RangeError for an unknown time zone */
function clockOf(timeZone: string): Intl.DateTimeFormat {
  const known = clocks.get(timeZone);
  if (known) return known;
  const made = new Intl.DateTimeFormat("en-US", {
    timeZone: timeZone || "UTC",
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  if (clocks.size >= clocksMax) clocks.clear();
  clocks.set(timeZone, made);
  return made;
}

/** Offsets such as "+02:00", which Node takes too, know no summer. */
function isTimeZone(name: string): boolean {
  if (name.length > timeZoneLengthMax || !/^[A-Za-z0-9_+/-]*$/.test(name)) return false;
  if (/^[+-]/.test(name)) return false;
  try {
    return clockOf(name) !== undefined;
  } catch {
    return false;
  }
}

function requireWithin(field: string, value: number, min: number, max: number): void {
  if (value < min || value > max) throw fieldInvalid(field, `${value} is not ${min} to ${max}`);
}
