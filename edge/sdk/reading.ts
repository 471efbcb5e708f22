/** How far the user and others have read, how many texts are unread, and who is writing. */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { Event } from "../../gen/parley/edge/v1/frame_pb.js";
import type { Cursor, CursorsMoved } from "../../gen/parley/message/v1/cursor_pb.js";
import type { Message } from "../../gen/parley/message/v1/message_pb.js";
import type {
  ListChannelsResponse,
  MessageService,
} from "../../gen/parley/message/v1/message_service_pb.js";
import { Backoff } from "./backoff.ts";
import { readMarkEntry } from "./device-entries.ts";
import type { DeviceState } from "./device-state.ts";
import { errorRetryAfterMs } from "./errors.ts";
import type { Events, ParleyEvents } from "./events.ts";
import { ReadStates } from "./read-states.ts";
import { sleep, type Timers } from "./timers.ts";

/** What reading works with. */
export interface ReadingOptions {
  userId: string;
  state: DeviceState;
  events: Events<ParleyEvents>;
  messages: Client<typeof MessageService>;
  /** Resolves while there is a connection. @throws the signal's reason */
  connected(signal: AbortSignal): Promise<unknown>;
  /** The server's time, in ms since 1970. */
  serverNowMs(): number;
  timers: Timers;
  random: () => number;
  /** Ends everything. */
  signal: AbortSignal;
}

/** From one call that marks a channel as read to the next. */
const markIntervalMs = 1_000;
/** From one call that tells of writing in a channel to the next. */
const typingIntervalMs = 3_000;
/** What others may have moved before the connection was seen to be lost, and clocks differ. */
const lostSlackMs = 60_000;

/** Reading and writing of one device. */
export class Reading {
  private readonly options: ReadingOptions;
  private readonly states: ReadStates;
  /** What has been read and the service does not know of yet: of each channel the newest. */
  private readonly marks = new Map<string, bigint>();
  private readonly marking = new Set<string>();
  private typed = { channelId: "", atMs: 0 };
  private lostMs: number | undefined;

  constructor(options: ReadingOptions) {
    const { userId, events, state } = options;
    this.options = options;
    this.states = new ReadStates(userId, (channelId, unreadCount) =>
      events.emit("unreadChanged", { channelId, unreadCount }),
    );
    for (const { channelId, lastMessageId } of state.loaded.channels) {
      this.states.begin(channelId, lastMessageId);
    }
    for (const { channelId, messageId } of state.loaded.readMarks) {
      this.marks.set(channelId, messageId);
      void this.mark(channelId);
    }
  }

  /**
   * How many texts of a channel are unread; undefined: not known yet. It is known after the first
   * check of the history (`checkIntervalMs`), or from when the user joined.
   */
  unread(channelId: string): number | undefined {
    return this.states.unread(channelId);
  }

  /**
   * The user has read a channel up to a message; by default the newest that was told of. Call it
   * as often as you like: at most one call a second leaves for each channel, with the newest, and
   * what could not be told yet is told after the next start.
   */
  markRead(channelId: string, messageId: bigint = this.states.lastMessageId(channelId)): void {
    const known = this.marks.get(channelId) ?? this.states.readMessageId(channelId);
    if (messageId <= known) return;
    this.keepMark(channelId, messageId);
    this.states.onRead(channelId, messageId);
    void this.mark(channelId);
  }

  /**
   * How far the members of a channel are, those of them who have a cursor. `cursorMoved` tells of
   * what moves from then on, and a message of a member moves its sender's.
   */
  async cursors(channelId: string): Promise<Cursor[]> {
    const all: Cursor[] = [];
    for (let pageToken: string | undefined = ""; pageToken !== undefined; ) {
      const page = await this.options.messages.listCursors({ channelId, pageToken });
      all.push(...page.cursors);
      pageToken = page.nextPageToken || undefined;
    }
    return all;
  }

  /** The user is writing. Call it at every key: it leaves at most once in 3 s, and may be lost. */
  sendTyping(channelId: string): void {
    const { messages, timers } = this.options;
    const atMs = timers.nowMs();
    const { typed } = this;
    if (typed.channelId === channelId && atMs - typed.atMs < typingIntervalMs) return;
    this.typed = { channelId, atMs };
    messages.sendTyping({ channelId }, { timeoutMs: typingIntervalMs }).catch(() => {});
  }

  /** A message was told of. */
  onMessage(message: Message): void {
    this.states.onMessage(message);
  }

  /** A page of the user's channels was read. */
  onListed({ channels, readStates }: ListChannelsResponse): void {
    const states = new Map(readStates.map((state) => [state.channelId, state]));
    for (const { channelId, messageCount } of channels) {
      const state = states.get(channelId);
      if (state) this.states.onListed(channelId, messageCount, state.cursor);
    }
  }

  /** Something was told that is not stored. */
  onEvent({ event }: Event): void {
    if (event.case === "typing") this.options.events.emit("typing", event.value);
    else if (event.case === "cursorsMoved") this.onMoved(event.value);
  }

  /** The connection is lost: what is not stored is missed from now on. */
  onLost(): void {
    this.lostMs ??= this.options.serverNowMs();
  }

  /** It is back: what was missed is asked for, if anybody wants to know. */
  onCaughtUp(): void {
    const { lostMs } = this;
    this.lostMs = undefined;
    if (lostMs === undefined || !this.options.events.has("cursorMoved")) return;
    // Fails only by a further loss, after which it is asked for again.
    this.listChanged(lostMs - lostSlackMs).catch(() => {
      this.lostMs = Math.min(this.lostMs ?? lostMs, lostMs);
    });
  }

  private async listChanged(minMs: number): Promise<void> {
    const { messages, signal } = this.options;
    const minTime = timestampFromMs(minMs);
    for (let pageToken: string | undefined = ""; pageToken !== undefined; ) {
      const page = await messages.listChangedCursors({ minTime, pageToken }, { signal });
      for (const moved of page.channels) this.onMoved(moved);
      pageToken = page.nextPageToken || undefined;
    }
  }

  private onMoved({ channelId, cursors }: CursorsMoved): void {
    for (const cursor of cursors) {
      if (cursor.userId === this.options.userId) this.states.onMoved(channelId, cursor);
      this.options.events.emit("cursorMoved", { channelId, cursor });
    }
  }

  /** Tells the service how far a channel is read, until it knows. */
  private async mark(channelId: string): Promise<void> {
    if (this.marking.has(channelId)) return;
    this.marking.add(channelId);
    const { connected, messages, timers, random, signal } = this.options;
    const backoff = new Backoff(random);
    try {
      for (let messageId = this.marks.get(channelId); messageId !== undefined; ) {
        try {
          await connected(signal);
          messageId = this.marks.get(channelId)!;
          const { readState } = await messages.markRead({ channelId, messageId }, { signal });
          if (readState?.cursor) this.states.onMoved(channelId, readState.cursor);
          this.forgetMark(channelId, messageId);
          await sleep(timers, markIntervalMs, signal);
        } catch (error) {
          signal.throwIfAborted();
          if (isFinal(error)) this.forgetMark(channelId, this.marks.get(channelId)!);
          else await sleep(timers, backoff.next(errorRetryAfterMs(error)), signal);
        }
        messageId = this.marks.get(channelId);
      }
    } catch {
      // The client is over; the store has what is left.
    }
    this.marking.delete(channelId);
  }

  private keepMark(channelId: string, messageId: bigint): void {
    this.marks.set(channelId, messageId);
    this.options.state.put(readMarkEntry(channelId, messageId));
  }

  /** Unless a newer one has taken its place. */
  private forgetMark(channelId: string, messageId: bigint): void {
    if (this.marks.get(channelId) !== messageId) return;
    this.marks.delete(channelId);
    this.options.state.put(readMarkEntry(channelId, undefined));
  }
}

/** Who is no member any more has nothing to mark. */
function isFinal(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  return code === Code.PermissionDenied || code === Code.InvalidArgument;
}
