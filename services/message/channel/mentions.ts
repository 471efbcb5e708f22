/** Which members a text mentions: the rule stands at MessageService.SendMessage. */
import type { ChannelState } from "./channel-state.ts";

/** Mentions of a text that count. */
const mentionsMax = 50;

const pattern =
  /(?<![\p{Script=Latin}\p{N}_.+@＠-])[@＠]([a-zA-Z0-9_.-]{3,32})(?![\p{Script=Latin}\p{M}0-9_])/gu;

/** The names that a text may mention, in lower case: of each mention all that it can mean. */
export function mentionableNames(text: string): string[] {
  return mentionsOf(text).flat();
}

/** The members among whom a text mentions, in its order, each once. */
export function mentionedMembers(
  text: string,
  userIdsByName: ReadonlyMap<string, string>,
  { members }: ChannelState,
): string[] {
  if (userIdsByName.size === 0) return [];
  const mentioned = new Set<string>();
  for (const names of mentionsOf(text)) {
    const userIds = names.map((name) => userIdsByName.get(name) ?? "");
    const userId = userIds.find((each) => members.has(each));
    if (userId) mentioned.add(userId);
  }
  return [...mentioned];
}

/** Of each mention the longest name that it can mean, then the one without the sentence's end. */
function mentionsOf(text: string): string[][] {
  if (!/[@＠]/.test(text)) return [];
  const mentions: string[][] = [];
  for (const [, found] of text.matchAll(pattern)) {
    const name = found!.toLowerCase();
    const bare = name.replace(/[.-]+$/, "");
    mentions.push(bare === name || bare.length < 3 ? [name] : [name, bare]);
    if (mentions.length === mentionsMax) break;
  }
  return mentions;
}
