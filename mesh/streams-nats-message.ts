/**
 * What the server puts into the headers of a message, read from their bytes: the library's own
 * headers are an object with a map and lists, which costs several times as much as the rest of a
 * message's way through the process.
 */
import type { Msg } from "@nats-io/transport-node";

/** The parts of the library's message that its getters decode: fixed with its version. */
interface RawMessage {
  readonly _rdata: Uint8Array;
  readonly _msg: { readonly hdr: number };
}

/** The name of a header, as it is looked for. */
export class HeaderName {
  readonly bytes: Buffer;

  constructor(name: string) {
    this.bytes = Buffer.from(`\r\n${name}: `, "latin1");
  }
}

/** The headers that this adapter reads. */
export const headerNames = {
  sequence: new HeaderName("Nats-Sequence"),
  /** The sequence before: of the subject where republished, of the answer in a direct get. */
  lastSequence: new HeaderName("Nats-Last-Sequence"),
  numPending: new HeaderName("Nats-Num-Pending"),
  upToSequence: new HeaderName("Nats-UpTo-Sequence"),
  subject: new HeaderName("Nats-Subject"),
  timeStamp: new HeaderName("Nats-Time-Stamp"),
} as const;

const noStatus = 0;
/** The place of the status in "NATS/1.0 404 Message Not Found". */
const statusAt = 9;
const [space, zero, nine, carriageReturn] = [0x20, 0x30, 0x39, 0x0d];

/** The status of a message; 0: it has none. */
export function statusOf(message: Msg): number {
  const { _rdata: bytes, _msg } = message as unknown as RawMessage;
  if (_msg.hdr < statusAt + 3 || bytes[statusAt - 1] !== space) return noStatus;
  return readInteger(bytes, statusAt);
}

/** The words after the status. */
export function statusText(message: Msg): string {
  const bytes = headersOf(message);
  const end = bytes.indexOf("\r\n");
  return bytes.toString("latin1", statusAt, end < 0 ? bytes.length : end);
}

/** The number in a header; 0: there is none. */
export function numberIn(message: Msg, name: HeaderName): number {
  const bytes = headersOf(message);
  const at = bytes.indexOf(name.bytes);
  return at < 0 ? 0 : readInteger(bytes, at + name.bytes.length);
}

/** The text in a header; "": there is none. */
export function textIn(message: Msg, name: HeaderName): string {
  const bytes = headersOf(message);
  const at = bytes.indexOf(name.bytes);
  if (at < 0) return "";
  const from = at + name.bytes.length;
  return bytes.toString("latin1", from, bytes.indexOf(carriageReturn, from));
}

function headersOf(message: Msg): Buffer {
  const { _rdata: bytes, _msg } = message as unknown as RawMessage;
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.max(0, _msg.hdr));
}

/** Sequences stay far below 2^53: 90,000 years at 100,000/s. */
function readInteger(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let i = at; i < bytes.length; i++) {
    const digit = bytes[i]!;
    if (digit < zero || digit > nine) break;
    value = value * 10 + digit - zero;
  }
  return value;
}
