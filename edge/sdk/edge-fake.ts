/**
 * An edge in memory for tests: one account with any number of devices, its channels, its inbox,
 * and switches for what can go wrong. Answers come in microtasks, never by timers.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import {
  type Call,
  type ClientFrame,
  type Hello,
  ResetReason,
  type Send,
} from "../../gen/parley/edge/v1/frame_pb.js";
import { type Item, ItemSchema } from "../../gen/parley/log/v1/log_pb.js";
import {
  MembershipChange_Kind as ChangeKind,
  MembershipChangeSchema,
  type Message,
  MessageSchema,
  type Revision,
  Revision_EditSchema,
  RevisionSchema,
} from "../../gen/parley/message/v1/message_pb.js";
import type { ErrorSchema } from "../../gen/parley/rpc/v1/error_pb.js";
import { answerTo, type FakeHistory, lastSequence } from "./edge-fake-answers.ts";
import { FakeSocket, type FakeSocketOwner, type ServerFrameInit } from "./edge-fake-socket.ts";
import type { WebSocketConstructor } from "./socket.ts";

type Body = Message["body"];

/** Whose edge it is. */
export const me = "ann0000000000000";
/** Somebody else. */
export const other = "bob0000000000000";

/** The edge of one account. */
export class FakeEdge implements FakeHistory, FakeSocketOwner {
  /** Give it to the client. */
  readonly WebSocket: WebSocketConstructor;
  readonly channels = new Map<string, Message[]>();
  readonly inbox: Item[][] = [];
  readonly sockets = new Set<FakeSocket>();
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
  silent = false;
  /** How many sends are answered with this error, having been stored or not. */
  sendFaults: { error: MessageInitShape<typeof ErrorSchema>; stored: boolean }[] = [];
  /** How many answers to sends are lost with their connection. */
  lostAnswers = 0;
  /** How many answers to sends are lost though the connection lives. */
  swallowedAnswers = 0;
  degradedBelow = 0n;
  readonly hidden = new Set<bigint>();
  readonly unlisted = new Set<string>();
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

  /** A message of a kind that the client does not know. */
  later(channelId: string, options: AppendOptions = {}): Message {
    return this.append(channelId, other, { case: undefined }, options);
  }

  /** Edits a message: the history has it anew, and the inbox the revision. */
  edit(message: Message, text: string, options: AppendOptions = {}): Revision {
    const { channelId, messageId } = message;
    const channelSequence = lastSequence(this.channels.get(channelId)) + 1;
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
    const value = answerTo(method, request.value as Uint8Array, this);
    const error = { code: Code.Unimplemented, reason: "METHOD_UNKNOWN", message: method };
    const result = value
      ? ({ case: "protobuf", value } as const)
      : ({ case: "error", value: error } as const);
    socket.deliverFrame({ case: "result", value: { requestId, result } });
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
      channelSequence: lastSequence(this.channels.get(channelId)) + 1,
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

function place({ messageId, prevMessageId, channelSequence, sendTime }: Message) {
  return { messageId, prevMessageId, channelSequence, ...(sendTime && { sendTime }) };
}
