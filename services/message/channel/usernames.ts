import type { Clock } from "../../../mesh/clock.ts";
import { RecentMap } from "../../../mesh/recent-map.ts";

/** Asks Session who has these names, at most 100, on behalf of a user. */
export type LookUpNames = (
  names: readonly string[],
  callerId: string,
) => Promise<Iterable<{ userId: string; username: string }>>;

/** Names that are remembered, those of nobody too: 5 MB. */
const knownMax = 20_000;
/** How old an answer may be. */
const ageMaxMs = 5 * 60_000;
/** How long Session is not asked after a failure. */
const pauseMs = 5_000;

const nobody: ReadonlyMap<string, string> = new Map();

/**
 * Who has which name. A text never waits for long, nor fails, because a name can't be looked up:
 * while Session is away, what was known of it last is good enough.
 */
export class Usernames {
  private readonly lookUp: LookUpNames;
  private readonly clock: Clock;
  /** By name in lower case. */
  private readonly known = new RecentMap<string, { userId: string | undefined; askedMs: number }>(
    knownMax,
  );
  private askAgainMs = 0;

  constructor(lookUp: LookUpNames, clock: Clock) {
    this.lookUp = lookUp;
    this.clock = clock;
  }

  /** The users by name, as far as they are known. @param names in lower case; mostly none */
  resolve(
    names: readonly string[],
    callerId: string,
  ): ReadonlyMap<string, string> | Promise<ReadonlyMap<string, string>> {
    return names.length === 0 ? nobody : this.find(names, callerId);
  }

  private async find(names: readonly string[], callerId: string): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    const askedMs = this.clock.nowMs();
    const unknown = names.filter((name) => {
      return (this.known.get(name)?.askedMs ?? Number.NEGATIVE_INFINITY) < askedMs - ageMaxMs;
    });
    if (unknown.length > 0 && askedMs >= this.askAgainMs)
      await this.ask(unknown, callerId, askedMs);
    for (const name of names) {
      const userId = this.known.get(name)?.userId;
      if (userId) found.set(name, userId);
    }
    return found;
  }

  private async ask(names: readonly string[], callerId: string, askedMs: number): Promise<void> {
    try {
      const users = new Map<string, string>();
      for (const { userId, username } of await this.lookUp(names, callerId)) {
        users.set(username.toLowerCase(), userId);
      }
      for (const name of names) this.known.set(name, { userId: users.get(name), askedMs });
    } catch {
      this.askAgainMs = askedMs + pauseMs;
    }
  }
}
