import { describe, expect, it } from "vitest";
import {
  checkChannelId,
  checkClientMessageId,
  checkGroupName,
  checkText,
  pageSize,
} from "./request-fields.ts";

const dayMs = 24 * 3_600_000;
const nowMs = Date.UTC(2026, 5, 1);

function clientId(timeMs: number): string {
  const time = timeMs.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000000`;
}

describe("a text", () => {
  it("[M2] may have 99,999 code points, in and beyond the basic plane, and no more", () => {
    for (const point of ["a", "ß", "語", "😀"]) {
      expect(() => checkText(point.repeat(99_999))).not.toThrow();
      expect(() => checkText(point.repeat(100_000))).toThrow(
        "text has 100000 code points; the limit is 99999",
      );
    }
  });

  it("[M2] may not be empty", () => {
    expect(() => checkText("")).toThrow("text is empty; the least is 1 code point");
    expect(() => checkText("\u0000")).not.toThrow();
  });
});

describe("a client's id", () => {
  it("[M5] gives its time, from 29 days back to 2 minutes ahead", () => {
    for (const timeMs of [nowMs - 29 * dayMs, nowMs, nowMs + 120_000]) {
      expect(checkClientMessageId(clientId(timeMs), nowMs)).toBe(timeMs);
    }
    for (const timeMs of [nowMs - 29 * dayMs - 1, nowMs + 120_001]) {
      expect(() => checkClientMessageId(clientId(timeMs), nowMs)).toThrow(
        expect.objectContaining({ reason: "CLIENT_MESSAGE_ID_INVALID" }),
      );
    }
  });

  it.each([
    ["", "no UUIDv7"],
    ["019B76DA-A800-7000-8000-000000000000", "no UUIDv7"],
    ["019b76da-a800-4000-8000-000000000000", "no UUIDv7"],
    ["x".repeat(10_000), "no UUIDv7"],
    ["ffffffff-ffff-7fff-bfff-ffffffffffff", "+010889-08-02T05:31:50.655Z, is more than 2 minutes"],
  ])("is refused where it is none: %.40s", (id, why) => {
    expect(() => checkClientMessageId(id, nowMs)).toThrow(why);
  });
});

describe("a request", () => {
  it.each(["", "g-1", "x-ann-ben", "d-ann", "d-Ann-ben", "g-00000000000000000000\n", "d-a-b-c"])(
    "is refused where %j is to be a channel",
    (channelId) => {
      expect(() => checkChannelId(channelId)).toThrow("is no channel id");
    },
  );

  it("[G1] names a group with 1 to 100 code points", () => {
    for (const name of ["a", "😀".repeat(100)]) expect(() => checkGroupName(name)).not.toThrow();
    for (const name of ["", "😀".repeat(101)])
      expect(() => checkGroupName(name)).toThrow("1 to 100");
  });

  it("[H2] gets the default page for 0, the largest for more, and is refused for less", () => {
    expect([0, 1, 200, 5_000].map((size) => pageSize(size, 50, 200))).toEqual([50, 1, 200, 200]);
    expect(() => pageSize(-1, 50, 200)).toThrow("-1, must not be negative");
  });
});
