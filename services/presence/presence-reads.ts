/**
 * Reading presence: GetPresence asks the owner of each user; the owner answers from its memory
 * and the store, and decides what the asking user may know, as it has the friends at hand.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type PresenceSchema, Status } from "../../gen/parley/presence/v1/presence_pb.js";
import type {
  GetOwnedPresenceRequestSchema,
  GetOwnedPresenceResponseSchema,
} from "../../gen/parley/presence/v1/presence_service_pb.js";
import { Audience } from "../../gen/parley/session/v1/session_pb.js";
import { fieldInvalid } from "../../mesh/errors.ts";
import type { Logger } from "../../mesh/logger.ts";
import { rendezvous } from "../../mesh/rendezvous.ts";
import type { CallOptions, Identity } from "../../mesh/rpc.ts";
import type { FriendLists } from "./friend-lists.ts";
import type { PresenceState } from "./presence-state.ts";
import type { PresenceRow } from "./presence-store.ts";
import type { Settling } from "./settling.ts";
import type { WriteBehind } from "./write-behind.ts";

type PresenceInit = MessageInitShape<typeof PresenceSchema>;

/** Calls PresenceService.GetOwnedPresence of one instance. */
export type CallOwner = (
  instanceId: string,
  request: MessageInitShape<typeof GetOwnedPresenceRequestSchema>,
  options: CallOptions,
) => Promise<MessageInitShape<typeof GetOwnedPresenceResponseSchema>>;

/** What reading needs. */
export interface PresenceReadsOptions {
  /** This instance. */
  instanceId: string;
  /** All of them. */
  instanceIds(): readonly string[];
  callOwner: CallOwner;
  state: PresenceState;
  settling: Settling;
  rows: WriteBehind;
  friends: FriendLists;
  log: Logger;
}

/** See GetPresenceRequest. */
const userIdsMax = 100;
const userIdLengthMax = 64;
/** How long an owner is waited for: less than the caller waits for everybody's. */
const ownerTimeoutMs = 1_000;

/** Answers the two methods that read. */
export class PresenceReads {
  private readonly options: PresenceReadsOptions;

  constructor(options: PresenceReadsOptions) {
    this.options = options;
  }

  /** Anybody's presence; UNSPECIFIED for the users of an owner that can't be asked. */
  async get(
    userIds: readonly string[],
    identity: Identity | undefined,
  ): Promise<{ presences: PresenceInit[] }> {
    checkUserIds(userIds);
    const answers = await Promise.all(
      [...this.groupByOwner(userIds)].map(([owner, ids]) => this.ask(owner, ids, identity)),
    );
    const known = new Map(answers.flat().map((presence) => [presence.userId, presence]));
    return { presences: userIds.map((userId) => known.get(userId) ?? unknown(userId)) };
  }

  /** The presence of this instance's users, as far as `identity` may know; unset: a service. */
  async getOwned(
    userIds: readonly string[],
    identity: Identity | undefined,
  ): Promise<{ presences: PresenceInit[] }> {
    checkUserIds(userIds);
    const { rows, log } = this.options;
    const stored = rows.get(userIds).catch((error: unknown) => {
      log.warn({ event: "presence_not_read", err: error });
      return [];
    });
    const views = Promise.all(userIds.map((userId) => this.viewOf(userId, identity?.userId)));
    const [storedRows, allowed] = await Promise.all([stored, views]);
    const presences = userIds.map((userId, i) => {
      const { presence, lastSeen } = allowed[i]!;
      return presence ? this.presence(userId, storedRows[i], lastSeen) : unknown(userId);
    });
    return { presences };
  }

  private groupByOwner(userIds: readonly string[]): Map<string, string[]> {
    const instanceIds = this.options.instanceIds();
    const groups = new Map<string, string[]>();
    for (const userId of new Set(userIds)) {
      const owner = rendezvous(userId, instanceIds);
      if (owner === undefined) continue;
      const group = groups.get(owner);
      if (group) group.push(userId);
      else groups.set(owner, [userId]);
    }
    return groups;
  }

  private async ask(
    owner: string,
    userIds: string[],
    identity: Identity | undefined,
  ): Promise<PresenceInit[]> {
    const { instanceId, callOwner, log } = this.options;
    if (owner === instanceId) return (await this.getOwned(userIds, identity)).presences;
    const callOptions = { timeoutMs: ownerTimeoutMs, ...(identity && { identity }) };
    try {
      return (await callOwner(owner, { userIds }, callOptions)).presences ?? [];
    } catch (error) {
      log.warn({ event: "presence_owner_away", owner, err: error });
      return [];
    }
  }

  private presence(
    userId: string,
    stored: PresenceRow | undefined,
    showsLastSeen: boolean,
  ): PresenceInit {
    const { state, settling } = this.options;
    // What another instance has stored may be later, by its clock.
    const activeMs = Math.max(state.lastActiveMs(userId) ?? 0, stored?.lastActiveMs ?? 0);
    const isShown = showsLastSeen && activeMs > 0;
    const lastActive = isShown ? { lastActiveTime: timestampFromMs(activeMs) } : {};
    let status = Status.UNSPECIFIED;
    if (state.isOnline(userId)) status = Status.ONLINE;
    else if (settling.canTellOffline(userId)) status = Status.OFFLINE;
    return { userId, status, ...lastActive };
  }

  /** What a viewer (undefined: a service) may see. Nothing where friends can't be looked up. */
  private async viewOf(userId: string, viewerId: string | undefined): Promise<View> {
    if (viewerId === undefined || viewerId === userId) return { presence: true, lastSeen: true };
    const list = await this.options.friends.get(userId);
    if (!list || list.blockedUserIds.includes(viewerId))
      return { presence: false, lastSeen: false };
    const includes = (audience: Audience) =>
      audience !== Audience.NOBODY &&
      (audience !== Audience.FRIENDS || list.userIds.includes(viewerId));
    return {
      presence: includes(list.presenceAudience),
      lastSeen: includes(list.lastSeenAudience),
    };
  }
}

/** What somebody may see of a user; not the time without the presence, which it would betray. */
interface View {
  presence: boolean;
  lastSeen: boolean;
}

function unknown(userId: string): PresenceInit {
  return { userId, status: Status.UNSPECIFIED };
}

function checkUserIds(userIds: readonly string[]): void {
  if (userIds.length < 1 || userIds.length > userIdsMax) {
    throw fieldInvalid("user_ids", `${userIds.length} users, must be 1 to ${userIdsMax}`);
  }
  for (const [i, { length }] of userIds.entries()) {
    if (length >= 1 && length <= userIdLengthMax) continue;
    const text = `${length} characters, must be 1 to ${userIdLengthMax}`;
    throw fieldInvalid(`user_ids[${i}]`, text);
  }
}
