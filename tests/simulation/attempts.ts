/** What clients have asked for, what they were told, and what was stored of it. */
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { SendMessageResponse } from "../../gen/parley/message/v1/message_service_pb.js";
import { type Blame, isMessage, type TrueItem } from "./true-log.ts";

/** One change that a client wants, at all its tries. */
export interface Attempt {
  senderId: string;
  deviceId: string;
  channelId: string;
  clientMessageId: string;
  /** Undefined: a change of membership, or of a message. */
  text: string | undefined;
  tries: number;
  stored: TrueItem | undefined;
  /** How many messages had been stored by then, itself included. */
  storedAs: number;
  /** The reason of an answer that says that it won't be done. */
  refused: string | undefined;
}

/** All attempts of a run. */
export class Attempts {
  private readonly all = new Map<string, Attempt>();
  private readonly blame: Blame;
  private storedCount = 0;
  /** By device and channel: texts in the order in which their first tries were acknowledged. */
  private readonly sent = new Map<string, Attempt[]>();

  constructor(blame: Blame) {
    this.blame = blame;
  }

  /** A client begins to want something. */
  add(attempt: Omit<Attempt, "tries" | "stored" | "storedAs" | "refused">): Attempt {
    const added = { ...attempt, tries: 0, stored: undefined, storedAs: 0, refused: undefined };
    this.all.set(key(attempt), added);
    return added;
  }

  /** The log has stored an item. */
  store(message: TrueItem): void {
    const place = `${message.channelId} #${message.channelSequence}`;
    if (message.clientMessageId === "" && message.channelSequence === 1) return;
    const attempt = this.all.get(key(message));
    if (!attempt || attempt.channelId !== message.channelId) {
      this.blame("acknowledged-once", `${place} was sent by nobody`);
    } else if (attempt.stored) {
      const first = attempt.stored.channelSequence;
      this.blame("acknowledged-once", `${place} was stored before, as #${first}`);
    } else if (
      attempt.text !== undefined &&
      !(isMessage(message) && message.body.value === attempt.text)
    ) {
      this.blame("acknowledged-once", `${place} has not the text that was sent`);
    } else {
      attempt.stored = message;
      attempt.storedAs = ++this.storedCount;
    }
  }

  /** A client was told that its text has this place. */
  acknowledge(attempt: Attempt, place: SendMessageResponse, isFirst: boolean): void {
    const { stored, channelId, deviceId } = attempt;
    const told = `${channelId} #${place.channelSequence}`;
    if (
      !stored ||
      !isMessage(stored) ||
      stored.messageId !== place.messageId ||
      stored.prevMessageId !== place.prevMessageId ||
      stored.channelSequence !== place.channelSequence ||
      !sameTime(stored.sendTime, place.sendTime)
    ) {
      const truth = stored ? `it is #${stored.channelSequence}` : "it is not stored";
      this.blame("acknowledged-once", `${told} was acknowledged, but ${truth}`);
    }
    if (!isFirst) return;
    const order = `${deviceId} in ${channelId}`;
    const sent = this.sent.get(order);
    if (sent) sent.push(attempt);
    else this.sent.set(order, [attempt]);
  }

  /** A client that awaits each acknowledgement finds its texts in the order of sending. */
  checkOrder(): void {
    for (const [order, sent] of this.sent) {
      let last = 0;
      for (const { storedAs, text } of sent) {
        if (storedAs < last) this.blame("client-order", `${order}: ${text} has lost its place`);
        last = storedAs;
      }
    }
  }

  /** What was refused at its only try must not have been done. */
  checkRefusals(): void {
    for (const { refused, stored, tries, channelId } of this.all.values()) {
      if (refused && stored && tries === 1) {
        const place = `${channelId} #${stored.channelSequence}`;
        this.blame("acknowledged-once", `${place} was refused (${refused}) and yet stored`);
      }
    }
  }
}

function sameTime(a: Timestamp | undefined, b: Timestamp | undefined): boolean {
  return a?.seconds === b?.seconds && a?.nanos === b?.nanos;
}

function key({ senderId, clientMessageId }: { senderId: string; clientMessageId: string }) {
  return `${senderId} ${clientMessageId}`;
}
