/**
 * What a channel has stored lately, by (sender, client id): how a resend is recognised without
 * asking a store. It also knows when it can't tell: whatever it no longer holds had a client
 * time of at most `forgottenMaxMs`, so an id from after that has never been stored.
 */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Message } from "../../gen/parley/message/v1/message_pb.js";
import { uuidV7TimeMs } from "../../mesh/ids.ts";
import { hash32 } from "../../mesh/rendezvous.ts";

/** Where a change has its place. */
export interface Placement {
  messageId: bigint;
  prevMessageId: bigint;
  channelSequence: number;
  /** When it was accepted, in ms since 1970. */
  sendTimeMs: number;
  /** Of the body, to tell a resend from a client id used twice. */
  fingerprint: number;
}

interface Remembered extends Placement {
  clientTimeMs: number;
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

  /** Remembers a stored message. */
  add(message: Message): void {
    if (message.clientMessageId === "") return;
    this.sends.set(key(message.senderId, message.clientMessageId), {
      ...placementOf(message),
      clientTimeMs: uuidV7TimeMs(message.clientMessageId) ?? 0,
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

  /** Whether not finding an id of this time proves that it was not stored. */
  isConclusive(clientTimeMs: number): boolean {
    return clientTimeMs > this.forgottenMaxMs;
  }
}

/** Where a stored message has its place. */
export function placementOf(message: Message): Placement {
  const { messageId, prevMessageId, channelSequence, sendTime, body } = message;
  const sendTimeMs = sendTime ? timestampMs(sendTime) : 0;
  return { messageId, prevMessageId, channelSequence, sendTimeMs, fingerprint: fingerprint(body) };
}

/** 32 bits that differ, almost always, where bodies do. */
export function fingerprint(body: Message["body"]): number {
  if (body.case === "text") return hash32(body.value);
  return body.case === "membershipChange" ? body.value.kind : 0;
}

function key(senderId: string, clientMessageId: string): string {
  return `${senderId} ${clientMessageId}`;
}
