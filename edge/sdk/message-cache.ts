import type { Message } from "../../gen/parley/message/v1/message_pb.js";

/** Messages that are kept of one channel. */
export const cachedMessagesMax = 200;
/** UTF-16 units of texts that are kept in all; past it channels go that were not used for longest. */
export const cachedUnitsMax = 8 * 1024 * 1024;

/** Of one channel, oldest first. */
interface Run {
  messages: Message[];
  units: number;
}

/**
 * The newest messages of channels, in memory, to draw a conversation before a page of history has
 * come. Of one channel it is always a run without a hole: each message names the one before it.
 */
export class MessageCache {
  /** The channel that was used last stands last. */
  private readonly runs = new Map<string, Run>();
  private units = 0;

  /** The channel's newest messages, oldest first; empty: none is known. */
  of(channelId: string): readonly Message[] {
    const run = this.runs.get(channelId);
    if (run) this.put(channelId, run);
    return run?.messages ?? [];
  }

  /** Takes in the message that was told last. */
  append(message: Message): void {
    const { channelId, prevMessageId } = message;
    const run = this.runs.get(channelId);
    if (run?.messages.at(-1)?.messageId !== prevMessageId) {
      this.appendPage(channelId, [message]);
      return;
    }
    const dropped = run.messages.length === cachedMessagesMax ? run.messages.slice(0, 1) : [];
    const messages = [...run.messages.slice(dropped.length), message];
    this.put(channelId, { messages, units: run.units + unitsOf([message]) - unitsOf(dropped) });
  }

  /** Takes in the newest page of a channel's history. */
  appendPage(channelId: string, page: readonly Message[]): void {
    this.join(channelId, [...this.messages(channelId), ...page]);
  }

  /** Takes in any page; keeps of it what joins the messages before the newest known one. */
  joinPage(channelId: string, page: readonly Message[]): void {
    const messages = this.messages(channelId);
    const newestId = messages.at(-1)?.messageId ?? 0n;
    this.join(channelId, [...messages, ...page.filter(({ messageId }) => messageId < newestId)]);
  }

  private messages(channelId: string): readonly Message[] {
    return this.runs.get(channelId)?.messages ?? [];
  }

  /** Keeps the messages that lead to the newest one without a hole. */
  private join(channelId: string, known: readonly Message[]): void {
    const byId = new Map(known.map((message) => [message.messageId, message]));
    const joined: Message[] = [];
    let next = known.reduce((newest, { messageId }) => max(newest, messageId), 0n);
    while (joined.length < cachedMessagesMax) {
      const message = byId.get(next);
      if (!message) break;
      joined.push(message);
      next = message.prevMessageId;
    }
    this.put(channelId, { messages: joined.reverse(), units: unitsOf(joined) });
  }

  private put(channelId: string, run: Run): void {
    this.drop(channelId);
    this.runs.set(channelId, run);
    this.units += run.units;
    for (const oldest of this.runs.keys()) {
      if (this.units <= cachedUnitsMax || oldest === channelId) break;
      this.drop(oldest);
    }
  }

  private drop(channelId: string): void {
    this.units -= this.runs.get(channelId)?.units ?? 0;
    this.runs.delete(channelId);
  }
}

/** What a message counts besides its text. */
const messageUnits = 100;

function unitsOf(messages: readonly Message[]): number {
  return messages.reduce(
    (sum, { body }) => sum + messageUnits + (body.case === "text" ? body.value.length : 0),
    0,
  );
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
