import { Latencies } from "./replay-latencies.ts";

/** What has happened so far, and how long it took. */
export class Measures {
  /** Texts that were given to the SDK. */
  sent = 0;
  /** Texts whose place the sender knows. */
  acknowledged = 0;
  /** How often a device was told of a text, the sender's own included. */
  delivered = 0;
  /** Edits, deletions and reactions that were accepted. */
  changed = 0;
  /** Grows with every sign of progress. */
  moves = 0;
  /** From sending a text to its acknowledgement. */
  readonly ackMs = new Latencies();
  /** From sending a text to any other member's device being told of it. */
  readonly deliveryMs = new Latencies();
  private readonly sentMs = new Map<string, number>();

  onSent(clientMessageId: string): void {
    this.sent++;
    this.sentMs.set(clientMessageId, performance.now());
  }

  onAcknowledged(clientMessageId: string): void {
    this.acknowledged++;
    this.moves++;
    this.ackMs.add(this.sinceSent(clientMessageId));
  }

  onChanged(): void {
    this.changed++;
    this.moves++;
  }

  onDelivered(clientMessageId: string, isOwn: boolean): void {
    this.delivered++;
    this.moves++;
    if (!isOwn) this.deliveryMs.add(this.sinceSent(clientMessageId));
  }

  private sinceSent(clientMessageId: string): number {
    const nowMs = performance.now();
    return nowMs - (this.sentMs.get(clientMessageId) ?? nowMs);
  }
}
