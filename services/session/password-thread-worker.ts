/** The worker thread of `password-thread.ts`: argon2id, one password after the other. */
import { constants, getPriority, setPriority } from "node:os";
import { parentPort } from "node:worker_threads";
import { hashSync, type Options, verifySync } from "@node-rs/argon2";

/** What the thread is told: a password to hash, or to compare with a stored text. */
export type PasswordWork = { password: string } & ({ params: Options } | { stored: string });

/** What it answers to each. */
export type PasswordAnswer = { text: string } | { isRight: boolean } | { failure: string };

// On Linux a thread has a priority of its own; elsewhere it would be the whole process'.
if (process.platform === "linux") {
  // Who has been started with less must not take more.
  setPriority(Math.max(getPriority(), constants.priority.PRIORITY_BELOW_NORMAL));
}

parentPort!.on("message", (work: PasswordWork) => parentPort!.postMessage(answer(work)));

function answer(work: PasswordWork): PasswordAnswer {
  try {
    if ("stored" in work) return { isRight: verifySync(work.stored, work.password) };
    return { text: hashSync(work.password, work.params) };
  } catch (error) {
    return { failure: String(error) };
  }
}
