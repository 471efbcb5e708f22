import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { faultKinds } from "../../edge/cli/replay-check.ts";
import { type Dialogue, parseDialogues } from "../../edge/cli/replay-dialogues.ts";

const root = join(import.meta.dirname, "../..");
/** Real ones, where they have been put beside the repository; else a small set of our own. */
const files = [join(root, "../shared/data/dialogues.jsonl"), join(root, "tests/dialogues.jsonl")];

/** All of them. */
export function allDialogues(): Dialogue[] {
  return parseDialogues(readFileSync(files.find(existsSync)!, "utf8"), Number.MAX_SAFE_INTEGER);
}

/**
 * Some dialogues of every topic of every language, and one topic with as many as make a group of
 * 100 members, as far as the file has them.
 */
export function someDialogues(perTopic: number): Dialogue[] {
  const all = allDialogues();
  const counts = new Map<string, number>();
  const keys = all.map(({ language, topic }) => `${language}/${topic}`);
  const numbers = keys.map((key) => {
    const number = (counts.get(key) ?? 0) + 1;
    counts.set(key, number);
    return number;
  });
  const large = [...counts].find(([, count]) => count >= largeTopic)?.[0];
  return all.filter((_, at) => numbers[at]! <= (keys[at] === large ? largeTopic : perTopic));
}

const largeTopic = 60;

/** What the report of a replay has where nothing is wrong. */
export const noFaults = Object.fromEntries(faultKinds.map((kind) => [kind, 0]));
