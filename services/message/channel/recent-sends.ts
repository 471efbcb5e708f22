/**
 * What a channel has stored lately, by (sender, client id): how a resend is recognised without
 * asking a store. It also knows when it can't tell: whatever it no longer holds had a client
 * time of at most `forgottenMaxMs`, so an id from after that has never been stored.
 */
import { uuidV7TimeMs } from "../../../mesh/ids.ts";
import type { ChannelItem } from "./channel-item.ts";
import { type Placement, placementOf } from "./placement.ts";

interface Remembered extends Placement {
  clientTimeMs: number;
  /** 0 for a revision. */
  messageNumber: number;
}

/** Sends remembered for one channel. */
const recentMax = 256;

/** The latest sends of one channel. */
export class RecentSends {
  private readonly sends = new Map<string, Remembered>();
  private forgottenMaxMs: number;

  /** Everything before had client times of at most `forgottenMaxMs`; 0: there is nothing. */
  constructor(forgottenMaxMs: number) {
    this.forgottenMaxMs = forgottenMaxMs;
  }

  /** Remembers a stored item. */
  add(item: ChannelItem): void {
    const { senderId, clientMessageId } = item.value;
    if (clientMessageId === "") return;
    this.sends.set(key(senderId, clientMessageId), {
      ...placementOf(item),
      clientTimeMs: uuidV7TimeMs(clientMessageId) ?? 0,
      messageNumber: item.case === "message" ? item.value.messageNumber : 0,
    });
    if (this.sends.size <= recentMax) return;
    const [oldest, forgotten] = this.sends.entries().next().value!;
    this.sends.delete(oldest);
    this.forgottenMaxMs = Math.max(this.forgottenMaxMs, forgotten.clientTimeMs);
  }

  /** What was stored under the id, as far as it is remembered. */
  find(senderId: string, clientMessageId: string): Placement | undefined {
    return this.sends.get(key(senderId, clientMessageId));
  }

  /** The sender's last message, as far as it is remembered; not one before the first text. */
  lastOf(senderId: string): { messageId: bigint; messageNumber: number } | undefined {
    let last: Remembered | undefined;
    for (const [id, sent] of this.sends) {
      if (sent.messageNumber > 0 && id.startsWith(`${senderId} `)) last = sent;
    }
    return last;
  }

  /** Whether not finding an id of this time proves that it was not stored. */
  isConclusive(clientTimeMs: number): boolean {
    return clientTimeMs > this.forgottenMaxMs;
  }
}

function key(senderId: string, clientMessageId: string): string {
  return `${senderId} ${clientMessageId}`;
}
