/**
 * The frames of the load, written and read by hand: the generator shares two cores with the
 * server, and what it costs is taken from what can be measured. Frames that are rare go through
 * the generated code.
 *
 * A text of the load says who sent it, the how many-th it is and when it was due, so that whoever
 * receives it can check order and measure time: 8, 10 and 12 digits, then filler.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  ChannelDeliveriesSchema,
  ClientFrameSchema,
  DeliveriesSchema,
  DeliverySchema,
  SendResultSchema,
  SendSchema,
  type ServerFrame,
  ServerFrameSchema,
} from "../gen/parley/edge/v1/frame_pb.js";
import { InboxEntrySchema, ItemSchema } from "../gen/parley/log/v1/log_pb.js";
import { MessageSchema } from "../gen/parley/message/v1/message_pb.js";
import { SendMessageRequestSchema } from "../gen/parley/message/v1/message_service_pb.js";

/** Bytes of a text: a short sentence. */
export const textBytes = 64;

const senderDigits = 8;
const numberDigits = 10;
const timeDigits = 12;

/** Told what a frame holds. */
export interface FrameReader {
  /** A send was accepted. */
  onAccepted(requestId: number): void;
  /** An inbox entry begins. */
  onDelivery(inboxSequence: number): void;
  /** An item of it, or of a channel that is followed; `sender` is -1 for what is no text of the load. */
  onItem(channelSequence: number, sender: number, number: number, dueUs: number): void;
  /** Anything else. */
  onOther(frame: ServerFrame["frame"]): void;
}

/** Writes the sends of one sender into one channel, always into the same bytes. */
export class SendFrame {
  private readonly bytes: Buffer;
  private readonly requestIdAt: number;
  private readonly clientIdAt: number;
  private readonly textAt: number;

  constructor(channelId: string, sender: number) {
    const clientMessageId = "00000000-0000-7000-8000-000000000000";
    const text = digits(sender, senderDigits).padEnd(textBytes, "x");
    const writer = new BinaryWriter().uint32(tags.send).fork();
    // Five bytes whatever the number: a varint may be longer than it need be.
    writer.uint32(tags.requestId).raw(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0));
    writer.uint32(tags.request).fork();
    writer.uint32(tags.channelId).string(channelId);
    writer.uint32(tags.clientMessageId).string(clientMessageId);
    writer.uint32(tags.requestText).string(text);
    this.bytes = Buffer.from(writer.join().join().finish());
    this.requestIdAt = this.bytes.indexOf(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0));
    this.clientIdAt = this.bytes.indexOf(clientMessageId);
    this.textAt = this.bytes.indexOf(text);
  }

  /** The send of this number; valid until the next call. Its request id is the number. */
  write(number: number, dueUs: number, nowMs: number): Buffer {
    const { bytes, requestIdAt, clientIdAt, textAt } = this;
    for (let i = 0; i < 5; i++) {
      bytes[requestIdAt + i] = ((number >>> (7 * i)) & 0x7f) | (i < 4 ? 0x80 : 0);
    }
    // A UUIDv7: the time, and the number where others are random; unique to its sender.
    const time = nowMs.toString(16).padStart(12, "0");
    bytes.write(`${time.slice(0, 8)}-${time.slice(8)}`, clientIdAt, "latin1");
    bytes.write(number.toString(16).padStart(12, "0"), clientIdAt + 24, "latin1");
    writeDigits(bytes, textAt + senderDigits, numberDigits, number);
    writeDigits(bytes, textAt + senderDigits + numberDigits, timeDigits, dueUs);
    return bytes;
  }
}

/** Encodes a frame that is rare. */
export function encodeFrame(frame: Parameters<typeof create<typeof ClientFrameSchema>>[1]): Buffer {
  return Buffer.from(toBinary(ClientFrameSchema, create(ClientFrameSchema, frame)));
}

/** Reads one frame of the server. */
export function readFrame(data: Buffer, to: FrameReader): void {
  const reader = new BinaryReader(data);
  const tag = reader.uint32();
  if (tag === tags.deliveries) readDeliveries(reader, data, to);
  else if (tag === tags.channelDeliveries) readChannelDeliveries(reader, data, to);
  else if (tag !== tags.sendResult || !readSendResult(reader, to)) {
    to.onOther(fromBinary(ServerFrameSchema, data).frame);
  }
}

/** False: an error, for somebody else to read. */
function readSendResult(reader: BinaryReader, to: FrameReader): boolean {
  const end = reader.uint32() + reader.pos;
  let requestId = 0;
  let isAccepted = false;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === tags.resultRequestId) requestId = reader.uint32();
    else {
      isAccepted ||= tag === tags.response;
      skip(reader, tag);
    }
  }
  if (isAccepted) to.onAccepted(requestId);
  return isAccepted;
}

function readDeliveries(reader: BinaryReader, data: Buffer, to: FrameReader): void {
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) {
    reader.uint32();
    const deliveryEnd = reader.uint32() + reader.pos;
    while (reader.pos < deliveryEnd) {
      const tag = reader.uint32();
      // Sequences of a bench are below 2^32, where the two read the same.
      if (tag === tags.inboxSequence) to.onDelivery(reader.uint32());
      else if (tag === tags.entry) readEntry(reader, data, to);
      else skip(reader, tag);
    }
  }
}

function readChannelDeliveries(reader: BinaryReader, data: Buffer, to: FrameReader): void {
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === tags.channelItem) readItem(reader, data, to);
    else skip(reader, tag);
  }
}

function readEntry(reader: BinaryReader, data: Buffer, to: FrameReader): void {
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) {
    if (reader.uint32() !== tags.item) throw new Error("an inbox entry with more than items");
    readItem(reader, data, to);
  }
}

function readItem(reader: BinaryReader, data: Buffer, to: FrameReader): void {
  reader.uint32();
  if (reader.uint32() !== tags.message) throw new Error("an item that is no message");
  readMessage(reader, data, to);
}

function readMessage(reader: BinaryReader, data: Buffer, to: FrameReader): void {
  const end = reader.uint32() + reader.pos;
  let channelSequence = 0;
  let textAt = -1;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === tags.channelSequence) channelSequence = reader.uint32();
    else if (tag === tags.text) {
      const length = reader.uint32();
      if (length === textBytes) textAt = reader.pos;
      reader.pos += length;
    } else skip(reader, tag);
  }
  if (textAt < 0) {
    to.onItem(channelSequence, -1, 0, 0);
    return;
  }
  const sender = readDigits(data, textAt, senderDigits);
  const number = readDigits(data, textAt + senderDigits, numberDigits);
  const dueUs = readDigits(data, textAt + senderDigits + numberDigits, timeDigits);
  to.onItem(channelSequence, sender, number, dueUs);
}

/** As the reader's own, which makes a view of what it skips. The contracts have these two types. */
function skip(reader: BinaryReader, tag: number): void {
  const length = reader.uint32();
  if ((tag & 7) === LengthDelimited) reader.pos += length;
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, "0");
}

function writeDigits(bytes: Buffer, at: number, count: number, value: number): void {
  let rest = value;
  for (let i = at + count - 1; i >= at; i--) {
    bytes[i] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

function readDigits(bytes: Buffer, at: number, count: number): number {
  let value = 0;
  for (let i = at; i < at + count; i++) value = value * 10 + bytes[i]! - 48;
  return value;
}

const { LengthDelimited, Varint } = WireType;

/** From the contracts, so that no number stands here twice. */
const tags = {
  send: tag(ClientFrameSchema.field.send, LengthDelimited),
  requestId: tag(SendSchema.field.requestId, Varint),
  request: tag(SendSchema.field.request, LengthDelimited),
  channelId: tag(SendMessageRequestSchema.field.channelId, LengthDelimited),
  clientMessageId: tag(SendMessageRequestSchema.field.clientMessageId, LengthDelimited),
  requestText: tag(SendMessageRequestSchema.field.text, LengthDelimited),
  sendResult: tag(ServerFrameSchema.field.sendResult, LengthDelimited),
  resultRequestId: tag(SendResultSchema.field.requestId, Varint),
  response: tag(SendResultSchema.field.response, LengthDelimited),
  deliveries: tag(ServerFrameSchema.field.deliveries, LengthDelimited),
  channelDeliveries: tag(ServerFrameSchema.field.channelDeliveries, LengthDelimited),
  channelItem: tag(ChannelDeliveriesSchema.field.items, LengthDelimited),
  delivery: tag(DeliveriesSchema.field.deliveries, LengthDelimited),
  inboxSequence: tag(DeliverySchema.field.inboxSequence, Varint),
  entry: tag(DeliverySchema.field.entry, LengthDelimited),
  item: tag(InboxEntrySchema.field.items, LengthDelimited),
  message: tag(ItemSchema.field.message, LengthDelimited),
  channelSequence: tag(MessageSchema.field.channelSequence, Varint),
  text: tag(MessageSchema.field.text, LengthDelimited),
};

function tag(field: { number: number }, wireType: WireType): number {
  return (field.number << 3) | wireType;
}
