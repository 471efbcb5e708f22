/**
 * What a friend has been told of users, and of whom that may be wrong for a while. An instance tells
 * first and stores later, and the next owner tells nothing that is stored as told: so what was told
 * by an owner that stores it too late, or never, may stay untold by the next (docs/PRESENCE.md).
 */

/** A friend of all users. */
export class Friend {
  private readonly writeDelayMs: number;
  private readonly told = new Map<string, { status: string; timeMs: number }>();
  /** By user: until when an owner that is one no more may not know it. */
  private readonly handedOverMs = new Map<string, number>();
  /** Told by an owner that died before it was stored: wrong until the next change. */
  private readonly lost = new Set<string>();
  /** Told by an owner that is one no more: wrong until the next one has settled. */
  private readonly late = new Set<string>();

  constructor(writeDelayMs: number) {
    this.writeDelayMs = writeDelayMs;
  }

  /** "online" or "offline"; undefined: never told. */
  lastTold(user: string): string | undefined {
    return this.told.get(user)?.status;
  }

  hear(nowMs: number, user: string, status: string): void {
    this.told.set(user, { status, timeMs: nowMs });
    this.lost.delete(user);
    this.late.delete(user);
    if (this.isHandedOver(nowMs, user)) this.late.add(user);
  }

  /** The user has another owner, which every instance and edge knows at `knownMs`. */
  handOver(nowMs: number, user: string, knownMs: number): void {
    this.handedOverMs.set(user, knownMs);
    if (this.isFresh(nowMs, user)) this.late.add(user);
  }

  /** The user's owner has died. */
  loseOwner(nowMs: number, user: string): void {
    if (this.isFresh(nowMs, user)) this.lost.add(user);
  }

  /** Whether the user is being handed over: two instances may take it for theirs. */
  isHandedOver(nowMs: number, user: string): boolean {
    return nowMs <= (this.handedOverMs.get(user) ?? Number.NEGATIVE_INFINITY);
  }

  /** Whether what was told last may be wrong, where the owner has settled or not. */
  mayBeWrong(user: string, isSettled: boolean): boolean {
    return this.lost.has(user) || (this.late.has(user) && !isSettled);
  }

  private isFresh(nowMs: number, user: string): boolean {
    const told = this.told.get(user);
    return told !== undefined && nowMs - told.timeMs <= this.writeDelayMs;
  }
}
