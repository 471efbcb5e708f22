/** Where a change has its place: what a resend is answered with. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Message, Revision } from "../../../gen/parley/message/v1/message_pb.js";
import { hash32 } from "../../../mesh/rendezvous.ts";
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

/** Bytes of {@link encodePlacement}. */
export const placementBytes = 30;

/** A placement as stores keep it. */
export function encodePlacement(placement: Placement): Buffer {
  const value = Buffer.allocUnsafe(placementBytes);
  value.writeBigUInt64BE(placement.messageId, 0);
  value.writeBigUInt64BE(placement.prevMessageId, 8);
  value.writeUInt32BE(placement.channelSequence, 16);
  value.writeUIntBE(placement.sendTimeMs, 20, 6);
  value.writeUInt32BE(placement.fingerprint, 26);
  return value;
}

/** What {@link encodePlacement} was given. */
export function decodePlacement(value: Buffer): Placement {
  return {
    messageId: value.readBigUInt64BE(0),
    prevMessageId: value.readBigUInt64BE(8),
    channelSequence: value.readUInt32BE(16),
    sendTimeMs: value.readUIntBE(20, 6),
    fingerprint: value.readUInt32BE(26),
  };
}
