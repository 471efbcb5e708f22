import { setTimeout as sleep } from "node:timers/promises";
import { whoChanges } from "./replay-changes.ts";
import type { PlannedDialogue } from "./replay-plan.ts";
import type { Speaker } from "./replay-speaker.ts";

/** Who takes part in a dialogue. */
export type Talker = Pick<Speaker, "say" | "hears" | "change" | "isAway" | "leave">;

/** Each turn is said when the other side has heard the one before, or is away. */
export async function talk(
  pair: readonly [Talker, Talker],
  channelId: string,
  { turns }: PlannedDialogue,
): Promise<void> {
  for (const [at, turn] of turns.entries()) {
    const speaker = pair[at % 2]!;
    const listener = pair[(at + 1) % 2]!;
    const { listenerIsAway, replyTo, changes } = turn.doings;
    if (turn.pauseMs > 0) await sleep(turn.pauseMs);
    // The two may talk in another channel too: if both were away, each would wait for the other.
    const back = listenerIsAway && !speaker.isAway ? listener.leave() : undefined;
    const said = speaker.say(channelId, turn, replyTo === undefined ? undefined : turns[replyTo]);
    if (back) {
      await said;
      back();
    }
    await Promise.all([said, listener.hears(turn.clientMessageId!)]);
    for (const change of changes) await pair[whoChanges(change)]!.change(channelId, turns, change);
  }
}
