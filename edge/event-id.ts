/** Where a stream or a poll over HTTP goes on: what `Last-Event-ID` carries. */
import { fieldInvalid } from "../mesh/errors.ts";
import type { FeedPosition } from "../mesh/subject-feed-following.ts";

/** A place in what a device was told. */
export interface EventId extends FeedPosition {
  connectionId: string;
  /** How many frames of the connection it has. */
  frames: number;
}

/** Writes one. Clients treat it as opaque. */
export function writeEventId({ connectionId, frames, epoch, sequence }: EventId): string {
  return `${connectionId}.${frames}.${sequence}.${epoch}`;
}

/** Reads one. @throws DomainError FIELD_INVALID for what is none of ours */
export function readEventId(text: string): EventId {
  const [, connectionId, frames, sequence, epoch] = pattern.exec(text) ?? [];
  if (connectionId === undefined) {
    throw fieldInvalid("Last-Event-ID", `"${text.slice(0, 100)}" is none of ours`);
  }
  return { connectionId, frames: Number(frames), sequence: Number(sequence), epoch: epoch! };
}

/** Numbers of up to 15 digits are exact. */
const pattern = /^([0-9a-z-]{1,64})\.(\d{1,15})\.(\d{1,15})\.([\x21-\x7e]{0,128})$/;
