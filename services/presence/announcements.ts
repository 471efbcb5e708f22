/**
 * Tells friends of changes, on their inboxes' live subjects: whoever is not connected does not
 * hear it. What a user's friends are told last is the user's latest status.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EventSchema } from "../../gen/parley/edge/v1/frame_pb.js";
import { Status } from "../../gen/parley/presence/v1/presence_pb.js";
import { Audience } from "../../gen/parley/session/v1/session_pb.js";
import type { Logger } from "../../mesh/logger.ts";
import type { Streams } from "../../mesh/streams.ts";
import type { FriendLists } from "./friend-lists.ts";
import type { PresenceRow } from "./presence-store.ts";

/** What announcing needs. */
export interface AnnouncementsOptions {
  friends: Pick<FriendLists, "get">;
  streams: Pick<Streams, "publishInbox">;
  log: Logger;
}

/** Users whose friends are being looked up. */
const underWayMax = 32;
/** Users that may wait; past it the oldest is given up, and friends see it when they ask. */
const waitingMax = 100_000;

/** Announces one instance's changes. */
export class Announcements {
  private readonly options: AnnouncementsOptions;
  private readonly waiting = new Map<string, PresenceRow>();
  private readonly underWay = new Set<string>();
  private givenUp = 0;

  constructor(options: AnnouncementsOptions) {
    this.options = options;
  }

  /** Tells the user's friends soon; a change that still waits is replaced. */
  add(row: PresenceRow): void {
    if (!this.waiting.has(row.userId) && this.waiting.size >= waitingMax) {
      const [oldest] = this.waiting.keys();
      this.waiting.delete(oldest!);
      const givenUp = ++this.givenUp;
      if (givenUp % 1_000 === 1) {
        this.options.log.warn({ event: "presence_announcements_given_up", given_up: givenUp });
      }
    }
    this.waiting.set(row.userId, row);
    this.next();
  }

  private next(): void {
    for (const [userId, row] of this.waiting) {
      if (this.underWay.size >= underWayMax) return;
      // One at a time for a user, so that they arrive in order.
      if (this.underWay.has(userId)) continue;
      this.waiting.delete(userId);
      this.underWay.add(userId);
      void this.announce(row)
        .catch((err: unknown) => this.failed(userId, err))
        .finally(() => {
          this.underWay.delete(userId);
          this.next();
        });
    }
  }

  /** Not a warning: where Session is away it is true of everybody. */
  private failed(userId: string, err: unknown): void {
    this.options.log.debug({ event: "presence_not_announced", user_id: userId, err });
  }

  private async announce(row: PresenceRow): Promise<void> {
    const list = await this.options.friends.get(row.userId);
    if (!list) throw new Error("the user's friends are not known");
    if (list.presenceAudience === Audience.NOBODY || this.waiting.has(row.userId)) return;
    const event = encodeEvent(row, list.lastSeenAudience !== Audience.NOBODY);
    for (const friendId of list.userIds) this.options.streams.publishInbox(friendId, event);
  }
}

function encodeEvent(
  { userId, isOnline, lastActiveMs }: PresenceRow,
  showsLastSeen: boolean,
): Uint8Array {
  const status = isOnline ? Status.ONLINE : Status.OFFLINE;
  const lastActive = showsLastSeen ? { lastActiveTime: timestampFromMs(lastActiveMs) } : {};
  const value = { userId, status, ...lastActive };
  return toBinary(EventSchema, create(EventSchema, { event: { case: "presence", value } }));
}
