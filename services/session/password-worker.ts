/** What runs in a process of `password-process.ts`: argon2id, one password after the other. */
import { execFileSync } from "node:child_process";
import { getPriority, setPriority } from "node:os";
import { hashSync, type Options, verifySync } from "@node-rs/argon2";

/** What the process is told: a password to hash, or to compare with a stored text. */
export type PasswordWork = { password: string } & ({ params: Options } | { stored: string });

/** What it answers to each. */
export type PasswordAnswer = { text: string } | { isRight: boolean } | { failure: string };

/**
 * When the process works, which is its argument: where nobody else needs the core, or with a third of
 * what others get.
 */
export type PasswordPriority = "idle" | "low";

/**
 * The nice value of a third. With four busy threads a core a password takes 0.4 s at 5, 0.1 s at 0,
 * and 1.6 s at 10.
 */
const lowNice = 5;
/** How long the command that sets the process' class may take: it needs 2 ms. */
const chrtMsMax = 1_000;

// It ends with the service's process: signals to the whole group are that one's to answer.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});

giveWay(process.argv[2] as PasswordPriority);
process.on("message", (work: PasswordWork) => process.send!(answer(work)));

function answer(work: PasswordWork): PasswordAnswer {
  try {
    if ("stored" in work) return { isRight: verifySync(work.stored, work.password) };
    return { text: hashSync(work.password, work.params) };
  } catch (error) {
    return { failure: String(error) };
  }
}

function giveWay(priority: PasswordPriority): void {
  if (priority === "idle") enterIdleClass();
  // Who has been started with less must not take more.
  setPriority(Math.max(getPriority(), lowNice));
}

/** Linux's class of those that work when nobody else needs the core. */
function enterIdleClass(): void {
  const args = ["-i", "-p", "0", String(process.pid)];
  try {
    execFileSync("chrt", args, { stdio: "ignore", timeout: chrtMsMax });
  } catch {
    // The system has no such command: low is what it can be.
  }
}
