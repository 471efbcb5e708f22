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

/** Where the cache is kept as well. */
export interface MessageCacheOptions {
  /** A message is in the cache from now on, or another form of it. */
  onKept(message: Message): void;
  /** And now it is not any more. */
  onDropped(message: Message): void;
}

/**
 * The newest messages of channels, at hand to draw a conversation before a page of history has
 * come. Of one channel it is always a run without a hole: each message names the one before it.
 */
export class MessageCache {
  private readonly options: MessageCacheOptions;
  /** The channel that was used last stands last. */
  private readonly runs = new Map<string, Run>();
  private units = 0;

  /** @param kept messages of the program's last run, each channel's in its order */
  constructor(options: MessageCacheOptions, kept: readonly Message[]) {
    this.options = options;
    const runs = [...Map.groupBy(kept, ({ channelId }) => channelId)];
    const newest = (messages: readonly Message[]) => messages.at(-1)!.messageId;
    // What is newest counts as used last.
    runs.sort(([, a], [, b]) => (newest(a) < newest(b) ? -1 : 1));
    for (const [channelId, messages] of runs) {
      this.runs.set(channelId, { messages, units: 0 });
      this.join(channelId, messages);
    }
  }

  /** The channel's newest messages, oldest first; empty: none is known. */
  of(channelId: string): readonly Message[] {
    const run = this.runs.get(channelId);
    if (!run) return [];
    this.runs.delete(channelId);
    this.runs.set(channelId, run);
    return run.messages;
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

  /** Puts another form of a message in its place, where it is at hand and that form is newer. */
  replace(message: Message): void {
    const messages = this.messages(message.channelId);
    const at = messages.findLastIndex(({ messageId }) => messageId === message.messageId);
    if (at < 0 || messages[at]!.revisionSequence >= message.revisionSequence) return;
    const replaced = messages.with(at, message);
    this.put(message.channelId, { messages: replaced, units: unitsOf(replaced) });
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
    const byId = new Map<bigint, Message>();
    for (const message of known) {
      const other = byId.get(message.messageId);
      // A page may have been read before a revision came.
      if (other && other.revisionSequence > message.revisionSequence) continue;
      byId.set(message.messageId, message);
    }
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
    const { onKept, onDropped } = this.options;
    const before = this.runs.get(channelId);
    const dropped = new Set(before?.messages);
    const kept = run.messages.filter((message) => !dropped.delete(message));
    // In this order: one that is dropped may be another form of one that is kept.
    for (const message of dropped) onDropped(message);
    for (const message of kept) onKept(message);
    this.runs.delete(channelId);
    this.runs.set(channelId, run);
    this.units += run.units - (before?.units ?? 0);
    for (const oldest of this.runs.keys()) {
      if (this.units <= cachedUnitsMax || oldest === channelId) break;
      this.drop(oldest);
    }
  }

  private drop(channelId: string): void {
    const { messages, units } = this.runs.get(channelId)!;
    for (const message of messages) this.options.onDropped(message);
    this.units -= units;
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
