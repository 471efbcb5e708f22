/**
 * What Presence promises, in the plainest words: for each user's devices, where they are connected
 * and until when they count. It knows of faults only that for a time reports may be under way.
 */

/** How long things take. */
export interface ModelTimes {
  graceMs: number;
  /** How long a report is on its way while nothing is broken. */
  reportMs: number;
}

interface Attachment {
  readonly edgeId: string;
  readonly userId: string;
  readonly deviceId: string;
  /** From then on Presence has heard of it, whatever happens. */
  heardMs: number;
  /** When the device was there for the last time; unset: it is connected. */
  endMs?: number;
}

/** The model of one run. */
export class PresenceModel {
  private readonly times: ModelTimes;
  private attachments: Attachment[] = [];
  /** By user: when a user without a device must be known to be offline. */
  private readonly offlineDueMs = new Map<string, number>();
  private brokenUntilMs = Number.NEGATIVE_INFINITY;

  constructor(times: ModelTimes) {
    this.times = times;
  }

  /** Something is broken until then at the latest: what is reported meanwhile may be late. */
  breakUntil(nowMs: number, untilMs: number): void {
    const { reportMs } = this.times;
    this.brokenUntilMs = Math.max(this.brokenUntilMs, untilMs);
    for (const attachment of this.attachments) {
      if (attachment.heardMs > nowMs) attachment.heardMs = this.brokenUntilMs + reportMs;
    }
    for (const [userId, dueMs] of this.offlineDueMs) {
      if (dueMs > nowMs) this.offlineDueMs.set(userId, Math.max(dueMs, this.lateMs));
    }
  }

  /** A device connects to an edge, where it was not connected. */
  connect(nowMs: number, edgeId: string, userId: string, deviceId: string): void {
    const heardMs = Math.max(nowMs, this.brokenUntilMs) + this.times.reportMs;
    this.attachments.push({ edgeId, userId, deviceId, heardMs });
  }

  /** The device was there for the last time at `endMs`. */
  disconnect(nowMs: number, edgeId: string, userId: string, deviceId: string, endMs: number): void {
    const attachment = this.attachments.find(
      (each) =>
        each.edgeId === edgeId &&
        each.userId === userId &&
        each.deviceId === deviceId &&
        each.endMs === undefined,
    );
    if (attachment) this.end(nowMs, attachment, endMs);
  }

  /** It will not come back, wherever it was. */
  logOut(nowMs: number, userId: string, deviceId: string): void {
    const isIt = (each: Attachment) => each.userId === userId && each.deviceId === deviceId;
    if (!this.attachments.some(isIt)) return;
    this.attachments = this.attachments.filter((each) => !isIt(each));
    this.expectOffline(nowMs, userId, nowMs);
  }

  /** The edge has died; its machine with it, if nobody is told. */
  loseEdge(nowMs: number, edgeId: string, silentMsMax: number): void {
    for (const attachment of [...this.attachments]) {
      if (attachment.edgeId !== edgeId) continue;
      // With its stream broken, Presence goes by the last beat that it has heard.
      if (nowMs < this.brokenUntilMs) attachment.heardMs = Number.POSITIVE_INFINITY;
      // The word of an end that is still under way is lost too.
      const endMs = Math.min(attachment.endMs ?? nowMs, nowMs - silentMsMax);
      if (attachment.endMs === undefined) this.end(nowMs, attachment, endMs);
      else attachment.endMs = endMs;
      this.expectOffline(nowMs, attachment.userId, nowMs + this.times.graceMs);
    }
  }

  /** Whether to call the user offline is no mistake. */
  mayBeOffline(nowMs: number, user: string): boolean {
    return !this.attachments.some(
      ({ userId, heardMs, endMs }) =>
        userId === user &&
        heardMs <= Math.min(nowMs, endMs ?? nowMs) &&
        (endMs === undefined || nowMs < endMs + this.times.graceMs),
    );
  }

  /** Whether the user must be known to be offline. */
  mustBeOffline(nowMs: number, user: string): boolean {
    if (this.attachments.some(({ userId, endMs }) => userId === user && endMs === undefined)) {
      return false;
    }
    return nowMs >= (this.offlineDueMs.get(user) ?? Number.NEGATIVE_INFINITY);
  }

  /** Whether the user must be known to be online. */
  mustBeOnline(nowMs: number, user: string): boolean {
    return this.attachments.some(
      ({ userId, heardMs, endMs }) => userId === user && heardMs < nowMs && endMs === undefined,
    );
  }

  /** Whether something may be broken. */
  isBroken(nowMs: number): boolean {
    return nowMs <= this.brokenUntilMs + this.times.reportMs;
  }

  private end(nowMs: number, attachment: Attachment, endMs: number): void {
    attachment.endMs = endMs;
    this.expectOffline(nowMs, attachment.userId, endMs + this.times.graceMs);
  }

  private expectOffline(nowMs: number, userId: string, endMs: number): void {
    const { reportMs } = this.times;
    const isBroken = this.isBroken(nowMs);
    const dueMs = Math.max(nowMs, endMs) + reportMs;
    const known = this.offlineDueMs.get(userId) ?? Number.NEGATIVE_INFINITY;
    this.offlineDueMs.set(userId, Math.max(known, isBroken ? this.lateMs : dueMs));
  }

  /** Whoever takes over has heard of everybody, and then waits for the grace time. */
  private get lateMs(): number {
    return this.brokenUntilMs + 2 * this.times.graceMs + 2 * this.times.reportMs;
  }
}
