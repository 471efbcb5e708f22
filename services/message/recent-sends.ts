/**
 * What a channel has stored lately, by (sender, client id): how a resend is recognised without
 * asking a store. It also knows when it can't tell: whatever it no longer holds had a client
 * time of at most `forgottenMaxMs`, so an id from after that has never been stored.
 */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Message, Revision } from "../../gen/parley/message/v1/message_pb.js";
import { uuidV7TimeMs } from "../../mesh/ids.ts";
import { hash32 } from "../../mesh/rendezvous.ts";
import type { ChannelItem } from "./channel-item.ts";

/** Where a change has its place. */
export interface Placement {
  /** Of the message, or of the message that was revised. */
  messageId: bigint;
  /** 0 for a revision. */
  prevMessageId: bigint;
  channelSequence: number;
  /** When it was accepted, in ms since 1970. */
  sendTimeMs: number;
  /** Of what it says, to tell a resend from a client id used twice. */
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

  /** Remembers a stored item. */
  add(item: ChannelItem): void {
    const { senderId, clientMessageId } = item.value;
    if (clientMessageId === "") return;
    this.sends.set(key(senderId, clientMessageId), {
      ...placementOf(item),
      clientTimeMs: uuidV7TimeMs(clientMessageId) ?? 0,
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

/** Where a stored item has its place. */
export function placementOf({ case: kind, value }: ChannelItem): Placement {
  const { messageId, channelSequence } = value;
  const isMessage = kind === "message";
  const time = isMessage ? value.sendTime : value.reviseTime;
  return {
    messageId,
    prevMessageId: isMessage ? value.prevMessageId : 0n,
    channelSequence,
    sendTimeMs: time ? timestampMs(time) : 0,
    fingerprint: fingerprint(value),
  };
}

/** What a message or a revision says, apart from its place. */
type Content = Pick<Message, "body"> | Pick<Revision, "messageId" | "change">;

/** 32 bits that differ, almost always, where what is said does. */
export function fingerprint(content: Content): number {
  if ("change" in content) {
    const { change, messageId } = content;
    return hash32(`${change.case} ${messageId} ${saidBy(change)}`);
  }
  const { body } = content;
  if (body.case === "text") return hash32(body.value);
  if (body.case === "membershipChange") return body.value.kind;
  const { change } = body.value ?? {};
  return hash32(change?.case === "name" ? `name ${change.value}` : (change?.case ?? ""));
}

function saidBy(change: Revision["change"]): string {
  if (change.case === "edit") return change.value.text;
  return change.case === undefined || change.case === "deletion" ? "" : change.value.emoji;
}

function key(senderId: string, clientMessageId: string): string {
  return `${senderId} ${clientMessageId}`;
}
