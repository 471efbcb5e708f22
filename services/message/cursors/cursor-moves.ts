/**
 * Moves members' cursors. What many devices say within a moment is one write to the store, and
 * one event to a channel's members: a busy reader does not cost a write for each message.
 */
import { type Clock, sleep } from "../../../mesh/clock.ts";
import { DomainError } from "../../../mesh/errors.ts";
import { maxId } from "../../../mesh/ids.ts";
import { RecentMap } from "../../../mesh/recent-map.ts";
import type { MemberCursorRow, MessageStore } from "../store/message-store.ts";
import { rowsMax } from "../store/message-store-limits.ts";

/** From one write to the next, of one instance: the first move after a pause waits for nothing. */
export const moveIntervalMs = 250;
/** Cursors that may wait for a write. */
export const waitingMax = 50_000;
/** Cursors of which it is remembered how far this instance has moved them: 10 MB. */
const rememberedMax = 20_000;

/** What moving works with. */
export interface CursorMovesOptions {
  store: MessageStore;
  clock: Clock;
  /** Tells whom it concerns of a channel's cursors that have moved. */
  announce(channelId: string, rows: readonly MemberCursorRow[]): void;
}

/** Where a member's cursor goes. */
export type CursorMove = Omit<MemberCursorRow, "moveTimeMs">;

/** The moves of one instance. */
export class CursorMoves {
  private readonly options: CursorMovesOptions;
  private readonly moved = new RecentMap<string, CursorMove>(rememberedMax);
  private waiting = new Map<string, Waiting>();
  private isRunning = false;

  constructor(options: CursorMovesOptions) {
    this.options = options;
  }

  /** Whether this instance has moved the cursor that far: there is nothing to do. */
  isThere(move: CursorMove): boolean {
    const moved = this.moved.get(keyOf(move));
    return (
      moved !== undefined &&
      moved.deliveredMessageId >= move.deliveredMessageId &&
      moved.readMessageId >= move.readMessageId
    );
  }

  /**
   * Moves a cursor forward; resolves when that is durable.
   * @throws StoreUnavailable; DomainError OVERLOADED
   */
  move(move: CursorMove): Promise<void> {
    if (this.isThere(move)) return Promise.resolve();
    const key = keyOf(move);
    const waiting = this.waiting.get(key);
    if (!waiting && this.waiting.size >= waitingMax) {
      const text = `${waitingMax} cursors are waiting`;
      return Promise.reject(new DomainError("OVERLOADED", text, { retryAfterMs: 1_000 }));
    }
    return new Promise((resolve, reject) => {
      const callers = waiting?.callers ?? [];
      callers.push({ resolve, reject });
      this.waiting.set(key, { move: waiting ? furthest(waiting.move, move) : move, callers });
      this.start();
    });
  }

  private start(): void {
    if (this.isRunning) return;
    this.isRunning = true;
    // What arrives in this turn shares the first write.
    setImmediate(() => void this.run());
  }

  private async run(): Promise<void> {
    while (this.waiting.size > 0) {
      const all = [...this.waiting.values()];
      this.waiting = new Map();
      for (let from = 0; from < all.length; from += rowsMax) {
        await this.write(all.slice(from, from + rowsMax));
      }
      await sleep(this.options.clock, moveIntervalMs);
    }
    this.isRunning = false;
  }

  private async write(waiting: Waiting[]): Promise<void> {
    const { store, clock, announce } = this.options;
    const moveTimeMs = clock.nowMs();
    const rows = waiting.map(({ move }) => ({ ...move, moveTimeMs }));
    try {
      await store.putMemberCursors(rows);
    } catch (error) {
      for (const { callers } of waiting) for (const { reject } of callers) reject(error);
      return;
    }
    const byChannel = new Map<string, MemberCursorRow[]>();
    for (const row of rows) {
      this.remember(row);
      const others = byChannel.get(row.channelId);
      if (others) others.push(row);
      else byChannel.set(row.channelId, [row]);
    }
    for (const { callers } of waiting) for (const { resolve } of callers) resolve();
    for (const [channelId, moved] of byChannel) announce(channelId, moved);
  }

  private remember(row: MemberCursorRow): void {
    const key = keyOf(row);
    const before = this.moved.get(key);
    this.moved.set(key, before ? furthest(before, row) : row);
  }
}

interface Waiting {
  move: CursorMove;
  callers: { resolve(): void; reject(error: unknown): void }[];
}

function keyOf({ channelId, userId }: CursorMove): string {
  return `${channelId} ${userId}`;
}

/** Each position of the one that is further. */
function furthest(a: CursorMove, b: CursorMove): CursorMove {
  const { readMessageId, readMessageNumber } = a.readMessageId > b.readMessageId ? a : b;
  const deliveredMessageId = maxId(a.deliveredMessageId, b.deliveredMessageId);
  return { ...a, deliveredMessageId, readMessageId, readMessageNumber };
}
