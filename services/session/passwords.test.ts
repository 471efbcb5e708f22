import { readdirSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Clock, systemClock } from "../../mesh/clock.ts";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { parseConfig } from "../../mesh/config.ts";
import { Passwords } from "./passwords.ts";
import { sessionConfig } from "./session-config.ts";

const isLinux = process.platform === "linux";
/** Linux's classes of processes: as usual, and those that work when nobody else needs the core. */
const schedOther = 0;
const schedIdle = 5;

const { signal } = new AbortController();

const opened: Passwords[] = [];
afterEach(() => {
  for (const passwords of opened.splice(0)) passwords.close();
});

function open(environment: Record<string, string>, clock: Clock = systemClock): Passwords {
  const passwords = new Passwords(parseConfig(sessionConfig, environment), clock);
  opened.push(passwords);
  return passwords;
}

/** The processes that this one has started, and where each works (proc_pid_stat(5)). */
function children(): { pid: number; policy: number; nice: number }[] {
  return readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    // The second field ends with the last parenthesis; parent, nice value and class are 4, 19 and 41.
    const fields = pid > 0 ? statOf(pid).split(") ").at(-1)!.split(" ") : [];
    if (Number(fields[1]) !== process.pid) return [];
    return { pid, policy: Number(fields[38]), nice: Number(fields[16]) };
  });
}

function statOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    // It has ended meanwhile.
    return "";
  }
}

function makePasswords(environment: Record<string, string> = {}): Passwords {
  return open({
    PARLEY_SESSION_PASSWORD_MEMORY_KIB: "8",
    PARLEY_SESSION_PASSWORD_PASSES: "1",
    ...environment,
  });
}

describe("Passwords", () => {
  it("[A1] a password is stored as argon2id with OWASP's parameters by default", async () => {
    const passwords = open({});
    const stored = await passwords.hash("correct horse", signal);
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    expect(await passwords.verify(stored, "correct horse", signal)).toBe(true);
    expect(await passwords.verify(stored, "correct horsf", signal)).toBe(false);
    expect(await passwords.renewed(stored, "correct horse", signal)).toBeUndefined();
  });

  it.runIf(isLinux)("[R1] a password waits for an idle core, but not for long", async () => {
    const before = new Set(children().map(({ pid }) => pid));
    const clock = new ManualClock();
    const passwords = open({ PARLEY_SESSION_PASSWORD_PASSES: "10" }, clock);
    const hashing = passwords.hash("correct horse", signal);
    const ofPolicy = (wanted: number) =>
      children().filter(({ pid, policy }) => policy === wanted && !before.has(pid));
    const isIdle = () => expect(ofPolicy(schedIdle)).toHaveLength(1);
    await vi.waitFor(isIdle, { interval: 1, timeout: 10_000 });
    expect(ofPolicy(schedOther)).toEqual([]);
    clock.advance(100);
    expect(await hashing).toContain("t=10,");
    expect(ofPolicy(schedOther)).toMatchObject([{ nice: 5 }]);
  });

  it("[A1] one password is stored in another text each time", async () => {
    const passwords = makePasswords();
    const stored = await Promise.all([1, 2, 3].map(() => passwords.hash("same", signal)));
    expect(new Set(stored).size).toBe(3);
  });

  it("[A1] where nothing is stored, no password is right, after the same work", async () => {
    expect(await makePasswords().verify(undefined, "correct horse", signal)).toBe(false);
  });

  it("[R1] past the queue's limit the call is refused at once with a retry hint", async () => {
    const passwords = makePasswords({
      PARLEY_SESSION_PASSWORDS_AT_ONCE_MAX: "2",
      PARLEY_SESSION_PASSWORDS_QUEUED_MAX: "3",
    });
    const hash = () => passwords.hash("correct horse", signal);
    const all = await Promise.allSettled(Array.from({ length: 7 }, hash));
    expect(all.map((result) => result.status)).toEqual([
      ...Array.from({ length: 5 }, () => "fulfilled"),
      ...Array.from({ length: 2 }, () => "rejected"),
    ]);
    expect(all[6]).toMatchObject({
      reason: { reason: "OVERLOADED", details: { retryAfterMs: 1_000 } },
    });
    await hash();
  });

  it("[R1] who has gone when its turn comes costs nothing and holds nobody up", async () => {
    const passwords = makePasswords({ PARLEY_SESSION_PASSWORDS_AT_ONCE_MAX: "1" });
    const gone = new AbortController();
    const results = Promise.allSettled([
      passwords.hash("first", signal),
      passwords.hash("gone", gone.signal),
      passwords.hash("last", signal),
    ]);
    gone.abort();
    expect((await results).map((result) => result.status)).toEqual([
      "fulfilled",
      "rejected",
      "fulfilled",
    ]);
  });

  it("[R1] a renewal that finds the queue full leaves the stored text as it is", async () => {
    const passwords = makePasswords({
      PARLEY_SESSION_PASSWORD_PASSES: "2",
      PARLEY_SESSION_PASSWORDS_AT_ONCE_MAX: "1",
      PARLEY_SESSION_PASSWORDS_QUEUED_MAX: "0",
    });
    const old = await makePasswords().hash("correct horse", signal);
    const busy = passwords.hash("other", signal);
    expect(await passwords.renewed(old, "correct horse", signal)).toBeUndefined();
    await busy;
    expect(await passwords.renewed(old, "correct horse", signal)).toContain("t=2");
  });

  it("[A1] what can't be verified is an error, and the next one is verified all the same", async () => {
    const passwords = makePasswords();
    await expect(passwords.verify("no such format", "correct horse", signal)).rejects.toThrow();
    const stored = await passwords.hash("correct horse", signal);
    expect(await passwords.verify(stored, "correct horse", signal)).toBe(true);
  });

  it("[R1] what is under way when it closes ends with an error", async () => {
    const passwords = makePasswords({ PARLEY_SESSION_PASSWORD_PASSES: "100" });
    const hashing = passwords.hash("correct horse", signal);
    const ended = expect(hashing).rejects.toThrow("the process has been ended");
    passwords.close();
    await ended;
  });

  it("[R1] what waits when it closes is refused, and starts nothing", async () => {
    const passwords = makePasswords({ PARLEY_SESSION_PASSWORDS_AT_ONCE_MAX: "1" });
    const all = Promise.allSettled([1, 2].map(() => passwords.hash("correct horse", signal)));
    passwords.close();
    expect(await all).toMatchObject([
      { reason: { message: "the process has been ended" } },
      { reason: { reason: "UNAVAILABLE" } },
    ]);
  });
});
