/**
 * An edge in memory for tests: one account with any number of devices, its channels, its inbox,
 * and switches for what can go wrong. Answers come in microtasks, never by timers.
 */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import {
  type Call,
  type ClientFrame,
  ClientFrameSchema,
  type Hello,
  ResetReason,
  type Send,
  ServerFrameSchema,
} from "../../gen/parley/edge/v1/frame_pb.js";
import { type Item, ItemSchema } from "../../gen/parley/log/v1/log_pb.js";
import {
  MembershipChange_Kind as ChangeKind,
  type ChannelSchema,
  MembershipChangeSchema,
  type Message,
  MessageSchema,
  type Revision,
  Revision_EditSchema,
  RevisionSchema,
} from "../../gen/parley/message/v1/message_pb.js";
import { MessageService } from "../../gen/parley/message/v1/message_service_pb.js";
import {
  type ChannelPosition,
  ChannelUpdateState as State,
} from "../../gen/parley/message/v1/sync_pb.js";
import type { ErrorSchema } from "../../gen/parley/rpc/v1/error_pb.js";
import type { WebSocketConstructor, WebSocketLike } from "./socket.ts";

type ServerFrameInit = NonNullable<MessageInitShape<typeof ServerFrameSchema>["frame"]>;
type Body = Message["body"];

/** Whose edge it is. */
export const me = "ann0000000000000";
/** Somebody else. */
export const other = "bob0000000000000";

/** The edge of one account. */
export class FakeEdge {
  /** Give it to the client. */
  readonly WebSocket: WebSocketConstructor;
  /** Every channel's messages, by id. */
  readonly channels = new Map<string, Message[]>();
  /** Entries of the inbox; entry n has the sequence n + 1. */
  readonly inbox: Item[][] = [];
  /** Connections that are open, or about to be. */
  readonly sockets = new Set<FakeSocket>();
  /** The frames that clients have sent, in order. */
  readonly frames: ClientFrame["frame"][] = [];
  /** What Hello brought, in order. */
  readonly hellos: Hello[] = [];
  epoch = "e1";
  /** Entries up to this one are gone. */
  trimmedTo = 0;
  /** Ahead of the tests' clock. */
  serverTimeMs = 0;
  /** Refuses handshakes and calls. */
  down = false;
  /** Closes a connection that says Hello. */
  helloClose: { code: number; reason: string } | undefined;
  /** Never answers anything. */
  silent = false;
  /** How many sends are answered with this error, having been stored or not. */
  sendFaults: { error: MessageInitShape<typeof ErrorSchema>; stored: boolean }[] = [];
  /** How many answers to sends are lost with their connection. */
  lostAnswers = 0;
  /** How many answers to sends are lost though the connection lives. */
  swallowedAnswers = 0;
  /** Pages of history say that they lack what lies below this id. */
  degradedBelow = 0n;
  /** Ids that the history does not have. */
  readonly hidden = new Set<bigint>();
  /** Channels that the user has left. */
  readonly unlisted = new Set<string>();
  /** Messages that a device is brought of a channel at once. */
  updateMax = 50;
  /** Calls that were answered, by method name. */
  readonly calls: string[] = [];
  private lastMessageId = 1_000n;

  constructor() {
    const edge = this;
    this.WebSocket = class extends FakeSocket {
      constructor(_url: string, _protocols: string[]) {
        super(edge);
      }
    };
  }

  /** Creates a channel with the account in it, from its first message on. */
  createChannel(channelId: string, creatorId = other): Message {
    this.channels.set(channelId, []);
    return this.membership(channelId, ChangeKind.CREATED, [creatorId, me]);
  }

  /** A change of who is in a channel. */
  membership(
    channelId: string,
    kind: ChangeKind,
    userIds: string[],
    options: AppendOptions = {},
  ): Message {
    const value = create(MembershipChangeSchema, { kind, userIds });
    return this.append(channelId, other, { case: "membershipChange", value }, options);
  }

  /** A text of somebody's. */
  text(channelId: string, text: string, options: AppendOptions = {}): Message {
    return this.append(
      channelId,
      options.senderId ?? other,
      { case: "text", value: text },
      options,
    );
  }

  /** Edits a message: the history has it anew, and the inbox the revision. */
  edit(message: Message, text: string, options: AppendOptions = {}): Revision {
    const { channelId, messageId } = message;
    const channelSequence = this.lastSequence(channelId) + 1;
    const edited = create(MessageSchema, {
      ...message,
      ...{ body: { case: "text", value: text }, editSequence: channelSequence },
      ...{ revisionSequence: channelSequence, editTime: timestampFromMs(this.serverTimeMs) },
    });
    const messages = this.channels.get(channelId)!;
    messages[messages.findIndex((each) => each.messageId === messageId)] = edited;
    const revision = create(RevisionSchema, {
      ...{ channelId, messageId, channelSequence, senderId: message.senderId },
      ...{ messageChannelSequence: message.channelSequence, reviseTime: edited.editTime! },
      change: options.withoutBody
        ? { case: undefined }
        : { case: "edit", value: create(Revision_EditSchema, { text }) },
    });
    if (!options.skipInbox) {
      this.store([create(ItemSchema, { item: { case: "revision", value: revision } })]);
    }
    return revision;
  }

  /** Puts messages into the inbox: one entry. */
  deliver(...messages: Message[]): void {
    this.store(
      messages.map((message) => create(ItemSchema, { item: { case: "message", value: message } })),
    );
  }

  private store(items: Item[]): void {
    this.inbox.push(items);
    for (const socket of this.sockets) socket.pump();
  }

  /** Closes every connection, as the edge does or as the network does (1006). */
  cut(code = 1006, reason = ""): void {
    for (const socket of [...this.sockets]) socket.end(code, reason);
  }

  /** Puts a frame into every open connection. */
  broadcast(frame: ServerFrameInit): void {
    for (const socket of this.sockets) socket.deliverFrame(frame);
  }

  /** @internal */
  onHello(socket: FakeSocket, hello: Hello): void {
    this.hellos.push(hello);
    if (this.helloClose) {
      socket.end(this.helloClose.code, this.helloClose.reason);
      return;
    }
    const at = Number(hello.inboxSequence);
    const resetReason =
      hello.inboxEpoch === "" || at === 0
        ? ResetReason.NEW_DEVICE
        : hello.inboxEpoch !== this.epoch
          ? ResetReason.UNKNOWN_EPOCH
          : at < this.trimmedTo
            ? ResetReason.TRIMMED
            : ResetReason.UNSPECIFIED;
    socket.position = resetReason === ResetReason.UNSPECIFIED ? at : this.inbox.length;
    socket.deliverFrame({
      case: "welcome",
      value: {
        userId: me,
        connectionId: `c${this.hellos.length}`,
        heartbeatIntervalMs: 5_000,
        inboxEpoch: this.epoch,
        inboxSequence: BigInt(socket.position),
        resetReason,
        serverTime: timestampFromMs(this.serverTimeMs),
      },
    });
    socket.welcomed = true;
    socket.pump();
    socket.deliverFrame({ case: "caughtUp", value: { inboxSequence: BigInt(socket.position) } });
  }

  /** @internal */
  onSend(socket: FakeSocket, { requestId, request }: Send): void {
    const fault = this.sendFaults.shift();
    const { channelId, clientMessageId, text } = request!;
    let stored: Message | undefined;
    if (!fault || fault.stored) {
      stored =
        this.channels.get(channelId)!.find((each) => each.clientMessageId === clientMessageId) ??
        this.text(channelId, text, { senderId: me, clientMessageId });
    }
    if (this.lostAnswers > 0) {
      this.lostAnswers--;
      socket.end(1006, "");
      return;
    }
    if (this.swallowedAnswers > 0) {
      this.swallowedAnswers--;
      return;
    }
    const result = fault
      ? ({ case: "error", value: fault.error } as const)
      : ({ case: "response", value: place(stored!) } as const);
    socket.deliverFrame({ case: "sendResult", value: { requestId, result } });
  }

  /** @internal */
  onCall(socket: FakeSocket, { requestId, method, request }: Call): void {
    this.calls.push(method.slice(method.indexOf("/") + 1));
    const bytes = request.value as Uint8Array;
    const answer = <O extends DescMessage>(schema: O, value: MessageInitShape<O>) => {
      const result = { case: "protobuf", value: toBinary(schema, create(schema, value)) } as const;
      socket.deliverFrame({ case: "result", value: { requestId, result } });
    };
    const { getChannel, listMessages, listRevisedMessages, listChannels, syncChannels } =
      MessageService.method;
    if (method.endsWith("/ListMessages")) {
      answer(listMessages.output, this.page(fromBinary(listMessages.input, bytes)));
    } else if (method.endsWith("/ListRevisedMessages")) {
      const request = fromBinary(listRevisedMessages.input, bytes);
      answer(listRevisedMessages.output, this.revised(request));
    } else if (method.endsWith("/ListChannels")) {
      answer(listChannels.output, {
        channels: [...this.channels.keys()]
          .filter((id) => !this.unlisted.has(id))
          .map((id) => this.channel(id)),
      });
    } else if (method.endsWith("/GetChannel")) {
      const { channelId } = fromBinary(getChannel.input, bytes);
      answer(getChannel.output, { channel: this.channel(channelId) });
    } else if (method.endsWith("/SyncChannels")) {
      const { positions } = fromBinary(syncChannels.input, bytes);
      answer(syncChannels.output, { updates: positions.map((each) => this.update(each)) });
    } else {
      const value = { code: Code.Unimplemented, reason: "METHOD_UNKNOWN", message: method };
      const result = { case: "error", value } as const;
      socket.deliverFrame({ case: "result", value: { requestId, result } });
    }
  }

  private append(channelId: string, senderId: string, body: Body, options: AppendOptions): Message {
    const messages = this.channels.get(channelId)!;
    const last = messages.at(-1);
    this.lastMessageId += 7n;
    const message = create(MessageSchema, {
      channelId,
      senderId,
      clientMessageId: options.clientMessageId ?? "",
      messageId: this.lastMessageId,
      prevMessageId: last?.messageId ?? 0n,
      channelSequence: this.lastSequence(channelId) + 1,
      sendTime: timestampFromMs(this.serverTimeMs),
    });
    message.body = body;
    messages.push(message);
    if (!options.skipInbox) {
      const copy = options.withoutBody
        ? create(MessageSchema, { ...message, body: { case: undefined }, bodyOmitted: true })
        : message;
      this.deliver(copy);
    }
    return message;
  }

  private lastSequence(channelId: string): number {
    const messages = this.channels.get(channelId) ?? [];
    return Math.max(
      0,
      ...messages.map((each) => Math.max(each.channelSequence, each.revisionSequence)),
    );
  }

  private revised(request: { channelId: string; afterChannelSequence: number }) {
    const messages = this.channels.get(request.channelId)!;
    return {
      messages: messages.filter((each) => each.revisionSequence > request.afterChannelSequence),
      throughChannelSequence: this.lastSequence(request.channelId),
    };
  }

  private channel(channelId: string): MessageInitShape<typeof ChannelSchema> {
    const last = this.channels.get(channelId)!.at(-1)!;
    const { messageId: lastMessageId } = last;
    const lastChannelSequence = this.lastSequence(channelId);
    return { channelId, lastMessageId, lastChannelSequence, name: `name of ${channelId}` };
  }

  private update({ channelId, channelSequence }: ChannelPosition) {
    const all = this.channels.get(channelId)!;
    const lacked = all.filter((message) => message.channelSequence > channelSequence);
    if (lacked.some(({ messageId }) => messageId < this.degradedBelow)) {
      return { channelId, state: State.UNAVAILABLE };
    }
    const about = {
      channelId,
      member: !this.unlisted.has(channelId),
      channelSequence: this.lastSequence(channelId),
    };
    if (lacked.length > this.updateMax) return { ...about, state: State.READ_HISTORY };
    const messages = lacked.filter(({ messageId }) => !this.hidden.has(messageId));
    const revisedMessages = all.filter((message) => {
      return (
        message.channelSequence <= channelSequence && message.revisionSequence > channelSequence
      );
    });
    return { ...about, state: State.CURRENT, messages, revisedMessages };
  }

  /** Only what the SDK asks for by itself: what follows an id, oldest first; or the newest. */
  private page(request: {
    channelId: string;
    pageSize: number;
    pageToken: string;
    start: { case?: string | undefined; value?: bigint | undefined };
  }) {
    const all = this.channels.get(request.channelId)!;
    const size = request.pageSize || 50;
    if (request.start.case !== "afterMessageId" && request.pageToken === "") {
      return { messages: all.slice(-size).reverse() };
    }
    const after = BigInt(request.pageToken || (request.start.value ?? 0n));
    const found = all.filter(({ messageId }) => messageId > after && !this.hidden.has(messageId));
    const messages = found
      .slice(0, size)
      .filter(({ messageId }) => messageId >= this.degradedBelow);
    const range = { minMessageId: 1n, maxMessageId: this.degradedBelow - 1n };
    return {
      messages,
      nextPageToken: found.length > size ? `${found[size - 1]!.messageId}` : "",
      degraded: this.degradedBelow > 0n,
      degradedRanges: this.degradedBelow > 0n ? [range] : [],
    };
  }
}

/** How a text comes into being. */
export interface AppendOptions {
  senderId?: string;
  clientMessageId?: string;
  /** The inbox lacks it. */
  skipInbox?: boolean;
  /** The inbox has it without its text. */
  withoutBody?: boolean;
}

class FakeSocket implements WebSocketLike {
  binaryType = "";
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: (() => void) | null = null;
  position = 0;
  welcomed = false;
  private readonly edge: FakeEdge;

  constructor(edge: FakeEdge) {
    this.edge = edge;
    edge.sockets.add(this);
    queueMicrotask(() => {
      if (edge.down) this.end(1006, "");
      else this.onopen?.();
    });
  }

  send(data: Uint8Array<ArrayBuffer> | string): void {
    const { frame } = fromBinary(ClientFrameSchema, data as Uint8Array);
    queueMicrotask(() => this.receive(frame));
  }

  close(code = 1005): void {
    queueMicrotask(() => this.end(code, ""));
  }

  end(code: number, reason: string): void {
    if (!this.edge.sockets.delete(this)) return;
    this.onclose?.({ code, reason });
  }

  deliverFrame(frame: ServerFrameInit): void {
    const bytes = toBinary(ServerFrameSchema, create(ServerFrameSchema, { frame }));
    queueMicrotask(() => {
      if (this.edge.sockets.has(this)) this.onmessage?.({ data: bytes.slice().buffer });
    });
  }

  /** Gives the device what it lacks, an entry to a frame. */
  pump(): void {
    if (!this.welcomed) return;
    while (this.position < this.edge.inbox.length) {
      const items = this.edge.inbox[this.position]!;
      const delivery = {
        inboxSequence: BigInt(this.position + 1),
        prevInboxSequence: BigInt(this.position),
        entry: { items },
      };
      this.position++;
      this.deliverFrame({ case: "deliveries", value: { deliveries: [delivery] } });
    }
  }

  private receive(frame: ClientFrame["frame"]): void {
    const { edge } = this;
    if (!edge.sockets.has(this)) return;
    edge.frames.push(frame);
    if (edge.silent) return;
    if (frame.case === "hello") edge.onHello(this, frame.value);
    else if (frame.case === "send") edge.onSend(this, frame.value);
    else if (frame.case === "call") edge.onCall(this, frame.value);
    else if (frame.case === "heartbeat") this.deliverFrame({ case: "heartbeatResult", value: {} });
  }
}

function place({ messageId, prevMessageId, channelSequence, sendTime }: Message) {
  return { messageId, prevMessageId, channelSequence, ...(sendTime && { sendTime }) };
}
