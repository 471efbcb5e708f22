/** The client of one signed-in device: what an app talks to. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Client, Code, createClient, type Transport } from "@connectrpc/connect";
import type { Welcome } from "../../gen/parley/edge/v1/frame_pb.js";
import type { Channel, Message, Revision } from "../../gen/parley/message/v1/message_pb.js";
import {
  type ListMessagesResponse,
  MessageService,
} from "../../gen/parley/message/v1/message_service_pb.js";
import type { Presence } from "../../gen/parley/presence/v1/presence_pb.js";
import { PresenceService } from "../../gen/parley/presence/v1/presence_service_pb.js";
import type { KnownChannel } from "./channel-state.ts";
import type { HistoryRequest, ParleyClientOptions, Sending } from "./client-options.ts";
import { Connection, type ConnectionState } from "./connection.ts";
import {
  messageEntry,
  messageRemoval,
  type QueuedSend,
  sendEntry,
  sendRemoval,
} from "./device-entries.ts";
import { DeviceState } from "./device-state.ts";
import { EdgeAddresses } from "./edge-addresses.ts";
import { sdkError } from "./errors.ts";
import { Events, type ParleyEvents } from "./events.ts";
import { jsonFrames, protobufFrames, type ServerFrameContent } from "./frames.ts";
import { Inbox } from "./inbox.ts";
import { MessageCache } from "./message-cache.ts";
import { placeOf, putSend } from "./put-send.ts";
import { Reading } from "./reading.ts";
import { ResendQueue } from "./resend-queue.ts";
import { revisedMessage } from "./revised-message.ts";
import { ServerClock } from "./server-clock.ts";
import type { WebSocketConstructor } from "./socket.ts";
import { sleep, systemTimers, type Timers } from "./timers.ts";
import { Tokens } from "./tokens.ts";
import { createSocketTransport } from "./transport-socket.ts";
import { UuidV7 } from "./uuid-v7.ts";
import { allWays } from "./ways.ts";

const checkIntervalMsDefault = 600_000;
/** How often it is looked whether the refresh token is near its end. */
const keepIntervalMs = 12 * 3_600_000;

/** One device's client, from {@link ParleyClient.open} to {@link ParleyClient.close}. */
export class ParleyClient {
  /** Public methods of every service, over the socket: `createClient(SessionService, transport)`. */
  readonly transport: Transport;
  /** How far the user and others have read, how many texts are unread, and who is writing. */
  readonly reading: Reading;
  private readonly tokens: Tokens;
  private readonly serverClock: ServerClock;
  private readonly deviceState: DeviceState;
  private readonly timers: Timers;
  private readonly events: Events<ParleyEvents>;
  private readonly connection: Connection;
  private readonly messages: Client<typeof MessageService>;
  private readonly presences: Client<typeof PresenceService>;
  private readonly ids: UuidV7;
  private readonly queue: ResendQueue;
  private readonly inbox: Inbox;
  private readonly cache: MessageCache;
  /** Aborted when the client is over, by `close`, a sign-out or the edge. */
  private readonly over = new AbortController();
  private connectionState: ConnectionState = { status: "stopped", reason: "not connected yet" };

  private constructor(
    options: ParleyClientOptions,
    tokens: Tokens,
    serverClock: ServerClock,
    deviceState: DeviceState,
    events: Events<ParleyEvents>,
  ) {
    const { timers = systemTimers, random = Math.random } = options;
    const { checkIntervalMs = checkIntervalMsDefault } = options;
    const { sends, messages } = deviceState.loaded;
    const format = options.format === "json" ? jsonFrames : protobufFrames;
    this.tokens = tokens;
    this.serverClock = serverClock;
    this.deviceState = deviceState;
    this.timers = timers;
    this.events = events;
    this.ids = new UuidV7(sends.at(-1)?.clientMessageId);
    this.connection = new Connection({
      addresses: EdgeAddresses.of(options.url),
      WebSocket: options.WebSocket ?? (globalThis.WebSocket as unknown as WebSocketConstructor),
      fetch: options.fetch ?? globalThis.fetch.bind(globalThis),
      ways: options.ways ?? allWays,
      format,
      timers,
      random,
      tokens,
      hello: (accessToken) => ({ accessToken, ...this.inbox.hello }),
      onWelcome: (welcome) => this.onWelcome(welcome),
      onFrame: (frame) => this.onFrame(frame),
      onState: (state) => this.onState(state),
    });
    this.transport = createSocketTransport({ connection: this.connection, format, timers });
    this.messages = createClient(MessageService, this.transport);
    this.presences = createClient(PresenceService, this.transport);
    this.cache = new MessageCache(
      {
        onKept: (message) => deviceState.isKept && deviceState.put(messageEntry(message)),
        onDropped: (message) => deviceState.put(messageRemoval(message)),
      },
      messages,
    );
    this.queue = new ResendQueue(
      {
        put: (send) => putSend(send, this.connection.current!, timers, this.over.signal),
        isOnline: () => this.connection.current !== undefined,
        keep: (send) => {
          deviceState.put(sendEntry(send));
          return deviceState.flush();
        },
        onSent: ({ channelId, clientMessageId }, result) => {
          deviceState.put(sendRemoval(clientMessageId));
          events.emit("sent", { channelId, clientMessageId, result });
        },
        onRefused: ({ channelId, clientMessageId }, error) => {
          deviceState.put(sendRemoval(clientMessageId));
          events.emit("refused", { channelId, clientMessageId, error });
        },
        onRenamed: ({ channelId, clientMessageId }, previousClientMessageId) => {
          deviceState.put(sendRemoval(previousClientMessageId));
          events.emit("renamed", { channelId, previousClientMessageId, clientMessageId });
        },
        newClientMessageId: () => this.newClientMessageId(),
        serverNowMs: () => serverClock.nowMs(),
        timers,
        random,
      },
      sends,
    );
    this.reading = new Reading({
      userId: tokens.owner.userId,
      state: deviceState,
      events,
      messages: this.messages,
      connected: (signal) => this.connection.ready(signal),
      serverNowMs: () => serverClock.nowMs(),
      timers,
      random,
      signal: this.over.signal,
    });
    this.inbox = new Inbox({
      userId: tokens.owner.userId,
      state: deviceState,
      events,
      messages: this.messages,
      connected: (signal) => this.connection.ready(signal),
      onMessage: (message) => this.onMessage(message),
      onRevision: (revision) => this.onRevision(revision),
      onRevised: (message) => this.onRevised(message),
      follow: (channels) =>
        this.connection.current?.tell({ case: "followChannels", value: { channels } }),
      onListed: (page) => this.reading.onListed(page),
      ack: (value) => {
        const { current } = this.connection;
        current?.tell({ case: "ack", value });
        return current !== undefined;
      },
      refuse: (reason) => this.connection.current?.giveUp(reason),
      checkIntervalMs,
      timers,
      random,
      signal: this.over.signal,
    });
  }

  /**
   * Makes the client of the device that is signed in, with what its store holds.
   * @throws ConnectError SIGNED_OUT when nobody is signed in; TypeError for a bad URL
   */
  static async open(options: ParleyClientOptions): Promise<ParleyClient> {
    const { tokens: store, timers = systemTimers, fetch, region } = options;
    const url = EdgeAddresses.of(options.url);
    const more = { ...(fetch && { fetch }), ...(region && { region }) };
    const serverClock = new ServerClock(timers);
    const tokens = await Tokens.load({ url, store, serverClock, ...more });
    const events = new Events<ParleyEvents>();
    const deviceState = await DeviceState.load(options.store, tokens.owner.userId, (error) =>
      events.emit("storeFailed", error),
    );
    return new ParleyClient({ ...options, url }, tokens, serverClock, deviceState, events);
  }

  /** Who is signed in. */
  get owner(): { userId: string; username: string; displayName: string; deviceId: string } {
    return this.tokens.owner;
  }

  /** What the connection is doing. */
  get state(): ConnectionState {
    return this.connectionState;
  }

  /** The channels that the device has heard of, those with the newest messages first. */
  get knownChannels(): KnownChannel[] {
    return this.inbox.channels;
  }

  /**
   * A channel's name, settings and number of members, as far as they are at hand: as they were read
   * last, and as messages since then have changed them.
   */
  channel(channelId: string): Channel | undefined {
    return this.inbox.channel(channelId);
  }

  /** Texts that are not acknowledged, oldest first. */
  get queuedSends(): QueuedSend[] {
    return this.queue.sends;
  }

  /** How often a text was sent again. */
  get resends(): number {
    return this.queue.resends;
  }

  /** Adds a listener; the function returned removes it. Listen before connecting. */
  on<Name extends keyof ParleyEvents>(
    name: Name,
    listener: (value: ParleyEvents[Name]) => void,
  ): () => void {
    return this.events.on(name, listener);
  }

  /**
   * Connects, and stays connected until {@link close}. Resolves when the device is signed in for
   * the first time, however long that takes.
   * @throws ConnectError SIGNED_OUT, CLIENT_CLOSED
   */
  async connect(): Promise<void> {
    this.connection.start();
    this.keepSignedIn().catch(() => {});
    await this.connection.ready(this.over.signal);
  }

  /** Reconnects now rather than later: for when the network is known to be back. */
  wake(): void {
    this.connection.wake();
  }

  /** Ends the client. What is not acknowledged stays in the store. */
  async close(): Promise<void> {
    this.inbox.acknowledge();
    await this.connection.stop();
    await this.deviceState.flush();
  }

  /**
   * Sends a text, now or as soon as there is a connection, and again until it is acknowledged. A
   * device's texts of one channel are stored once each and in the order of the calls.
   * @throws ConnectError TEXT_EMPTY, TEXT_TOO_LONG, TOO_MUCH_WAITING
   */
  send(channelId: string, text: string, options: { replyToMessageId?: bigint } = {}): Sending {
    const { replyToMessageId = 0n } = options;
    const clientMessageId = this.newClientMessageId();
    const send = { channelId, clientMessageId, text, replyToMessageId };
    return { clientMessageId, result: this.queue.add(send) };
  }

  /** Replaces the text of one of the user's messages. @throws ConnectError as EditMessage */
  async edit(channelId: string, messageId: bigint, text: string): Promise<void> {
    const clientMessageId = this.newClientMessageId();
    await this.messages.editMessage({ channelId, messageId, clientMessageId, text });
  }

  /** Deletes one of the user's messages. @throws ConnectError as DeleteMessage */
  async delete(channelId: string, messageId: bigint): Promise<void> {
    const clientMessageId = this.newClientMessageId();
    await this.messages.deleteMessage({ channelId, messageId, clientMessageId });
  }

  /** Gives a message an emoji, or takes it back. @throws ConnectError as AddReaction */
  async react(channelId: string, messageId: bigint, emoji: string, given = true): Promise<void> {
    const clientMessageId = this.newClientMessageId();
    const request = { channelId, messageId, clientMessageId, emoji };
    await (given ? this.messages.addReaction(request) : this.messages.removeReaction(request));
  }

  /** A new `client_message_id` for changes of channels: keep it for every further try. */
  newClientMessageId(): string {
    return this.ids.next(this.serverClock.nowMs());
  }

  /**
   * The channel's newest messages as far as they are at hand, oldest first and without a hole:
   * what was told of, and the pages of history that join it. At most 200. They are in the store as
   * well, so that they are at hand when the program starts again, before it connects.
   */
  recent(channelId: string): readonly Message[] {
    return this.cache.of(channelId);
  }

  /** A page of a channel's history; the newest 50 messages by default, newest first. */
  async history(channelId: string, request: HistoryRequest = {}): Promise<ListMessagesResponse> {
    const page = await this.messages.listMessages({ ...request, channelId });
    const { pageSize, ...where } = request;
    if (Object.keys(where).length === 0) this.cache.appendPage(channelId, page.messages);
    else this.cache.joinPage(channelId, page.messages);
    return page;
  }

  /** Who of up to 100 users is there now. */
  async presence(userIds: readonly string[]): Promise<Presence[]> {
    return (await this.presences.getPresence({ userIds: [...userIds] })).presences;
  }

  /** All channels of the user, by id. */
  async *channels(): AsyncGenerator<Channel> {
    for (let pageToken: string | undefined = ""; pageToken !== undefined; ) {
      const page = await this.messages.listChannels({ pageSize: 200, pageToken });
      yield* page.channels;
      pageToken = page.nextPageToken || undefined;
    }
  }

  private onWelcome(welcome: Welcome): void {
    if (welcome.serverTime) this.serverClock.set(timestampMs(welcome.serverTime));
    this.inbox.onWelcome(welcome);
    this.queue.resume();
  }

  private onFrame(frame: ServerFrameContent): void {
    if (frame.case === "deliveries") {
      this.inbox.onDeliveries(frame.value);
    } else if (frame.case === "caughtUp") {
      this.connection.settle();
      this.inbox.onCaughtUp();
      this.reading.onCaughtUp();
    } else if (frame.case === "reset") {
      this.inbox.onReset(frame.value);
    } else if (frame.case === "channelDeliveries") {
      this.inbox.onChannelDeliveries(frame.value);
    } else if (frame.case === "followChannelsResult") {
      this.inbox.onFollowChannelsResult(frame.value);
    } else if (frame.case === "event" && frame.value.event.case === "presence") {
      this.events.emit("presence", frame.value.event.value);
    } else if (frame.case === "event") {
      this.reading.onEvent(frame.value);
    }
    // Lagging mends itself, HeartbeatResult has done its work by coming, and what a newer edge
    // has to say is for newer clients.
  }

  private onState(state: ConnectionState): void {
    if (this.connectionState.status === "online") this.reading.onLost();
    this.connectionState = state;
    if (state.status === "signedOut" || state.status === "stopped") {
      const error = sdkError("CLIENT_CLOSED", Code.Canceled, state.reason);
      this.over.abort(error);
      this.queue.close(error);
    }
    this.events.emit("state", state);
  }

  /** A text that is seen in its channel is acknowledged, even if its answer was lost. */
  private onMessage(message: Message): void {
    const { senderId, clientMessageId } = message;
    if (senderId === this.owner.userId) this.queue.acknowledge(clientMessageId, placeOf(message));
    this.cache.append(message);
    this.reading.onMessage(message);
    this.events.emit("message", message);
  }

  private onRevision(revision: Revision): boolean {
    const { channelId, messageId, channelSequence } = revision;
    const known = this.cache.of(channelId).find((each) => each.messageId === messageId);
    const message = known && revisedMessage(known, revision, this.owner.userId);
    if (known && !message) return false;
    if (message) this.cache.replace(message);
    this.events.emit("revised", { channelId, messageId, channelSequence, message });
    return true;
  }

  private onRevised(message: Message): void {
    const { channelId, messageId, revisionSequence: channelSequence } = message;
    this.cache.replace(message);
    this.events.emit("revised", { channelId, messageId, channelSequence, message });
  }

  private async keepSignedIn(): Promise<void> {
    for (;;) {
      await sleep(this.timers, keepIntervalMs, this.over.signal);
      await this.tokens.keep().catch(() => {});
    }
  }
}
