import { setImmediate as turnOfLoop } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type Talker, talk } from "./replay-talk.ts";
import type { Turn } from "./replay-turn.ts";

/** Says what it is given as soon as it is not away. */
class FakeTalker implements Talker {
  isAway = false;
  readonly said: string[] = [];
  readonly saidWhileListenerIsAway: string[] = [];
  listener!: FakeTalker;

  async say(_channelId: string, turn: Turn): Promise<void> {
    if (this.listener.isAway) this.saidWhileListenerIsAway.push(turn.text);
    await turnOfLoop();
    while (this.isAway) await turnOfLoop();
    this.said.push(turn.text);
  }

  leave(): () => void {
    this.isAway = true;
    return () => {
      this.isAway = false;
    };
  }

  async hears(): Promise<void> {}
  async change(): Promise<void> {}
}

function dialogue(title: string) {
  const turns = ["a", "b", "c", "d"].map((text) => ({
    text: `${title} ${text}`,
    pauseMs: 0,
    doings: { listenerIsAway: true, changes: [] },
  }));
  return { line: 1, turns };
}

describe("two who talk in two channels at once", () => {
  it("come to an end, though each is away while the other speaks", async () => {
    const pair = [new FakeTalker(), new FakeTalker()] as const;
    const [one, other] = pair;
    one.listener = other;
    other.listener = one;
    const first = talk(pair, "c1", dialogue("first"));
    await turnOfLoop();
    await Promise.all([first, talk(pair, "c2", dialogue("second"))]);
    expect(one.said.toSorted()).toEqual(["first a", "first c", "second a", "second c"]);
    expect(other.said.toSorted()).toEqual(["first b", "first d", "second b", "second d"]);
    expect(one.saidWhileListenerIsAway).toContain("first a");
    expect(other.saidWhileListenerIsAway).toContain("first b");
  });
});
