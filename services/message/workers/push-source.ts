/** The log and the store as push sees them. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { LogEntry } from "../../../gen/parley/log/v1/log_pb.js";
import type { Message, Revision } from "../../../gen/parley/message/v1/message_pb.js";
import { isDeletion } from "../../../mesh/channel-items.ts";
import { type Clock, sleep } from "../../../mesh/clock.ts";
import { maxId } from "../../../mesh/ids.ts";
import { Outage } from "../../../mesh/outage.ts";
import type {
  PushItem,
  PushItemHandler,
  PushMember,
  PushSource,
} from "../../../mesh/push-source.ts";
import type { Running, StreamEntry, WorkOptions } from "../../../mesh/streams.ts";
import { itemsOf } from "../channel/channel-item.ts";
import { LogIncomplete } from "../channel/channel-loader.ts";
import type { ChannelState } from "../channel/channel-state.ts";
import { ChannelStates } from "../channel/channel-states.ts";
import { stayChanges } from "../channel/stay-changes.ts";
import type { MemberCursorRow, MessageStore } from "../store/message-store.ts";
import { Parking, type ParkingDependencies } from "./parking.ts";
import { UnreadCounts } from "./unread-counts.ts";

/** The name of its checkpoint: what was due of the entries up to it is done. */
export const pushWorker = "push";

/** Entries to a batch. */
const batchMax = 512;
/** After a batch that is not full the next one gathers for this long: nothing is due sooner. */
const gatherMs = 500;
/** From so many members of a channel on, all its cursors are read at once. */
const pageFromMembers = 4;
/** Cursors of a channel to a read. */
const pageMax = 1_000;

/** What it works on. */
export interface LogPushSourceDependencies extends Omit<ParkingDependencies, "isOurs"> {
  store: Pick<
    MessageStore,
    "getChannel" | "getMemberCursors" | "listChannelIds" | "listMemberCursors"
  >;
  clock: Clock;
}

/** Push's source over the log and the store. */
export class LogPushSource implements PushSource {
  private readonly deps: LogPushSourceDependencies;
  private readonly unread: UnreadCounts;

  constructor(deps: LogPushSourceDependencies) {
    this.deps = deps;
    this.unread = new UnreadCounts(deps.store, deps.clock);
  }

  work(handler: PushItemHandler, isOurs?: WorkOptions["isOurs"]): Running {
    const { log, logger, clock } = this.deps;
    const states = new ChannelStates(log);
    const parking = new Parking(pushWorker, this.deps);
    const [began, ended] = ["push_failed", "push_works_again"];
    const outage = new Outage({ logger, clock, level: "error", began, ended });
    const onError = (err: unknown) => outage.failed(err);
    return log.work({ name: pushWorker, batchMax, isOurs, onError }, async (entries, batch) => {
      await handler(await this.itemsIn(entries, states, parking), batch);
      outage.worked();
      if (entries.length < batchMax) await sleep(clock, gatherMs, batch.signal).catch(() => {});
    });
  }

  async received(members: readonly PushMember[]): Promise<bigint[]> {
    const byChannel = new Map<string, string[]>();
    for (const { channelId, userId } of members) {
      const userIds = byChannel.get(channelId);
      if (userIds) userIds.push(userId);
      else byChannel.set(channelId, [userId]);
    }
    const reads = [...byChannel].map(([channelId, userIds]) => this.cursors(channelId, userIds));
    const received = new Map((await Promise.all(reads)).flat().map(receivedOf));
    return members.map((member) => received.get(keyOf(member)) ?? 0n);
  }

  unreadCount(userId: string): Promise<number> {
    return this.unread.of(userId);
  }

  /** What the log no longer has the snapshot of is passed over: it is too old for a push. */
  private async itemsIn(
    entries: StreamEntry[],
    states: ChannelStates,
    parking: Parking,
  ): Promise<PushItem[]> {
    const items: PushItem[] = [];
    for (const stored of entries) {
      const read = await parking.read(stored, states).catch((thrown: unknown) => {
        if (!(thrown instanceof LogIncomplete)) throw thrown;
      });
      if (read) items.push(...this.itemsOfEntry(read.entry, read.state));
    }
    return items;
  }

  private *itemsOfEntry(entry: LogEntry, state: ChannelState): Generator<PushItem> {
    for (const item of itemsOf(entry)) {
      state.applyItem(item);
      const found = item.case === "message" ? itemOf(item.value, state) : revisionOf(item.value);
      if (found?.kind === "text") {
        this.unread.note(found.channelId, state.channel.messageCount);
        if (found.userIds.length === 0) continue;
      }
      if (found) yield found;
    }
  }

  private async cursors(channelId: string, userIds: string[]): Promise<MemberCursorRow[]> {
    const { store } = this.deps;
    const one = (userId: string) => store.getMemberCursors(userId, [channelId]);
    if (userIds.length < pageFromMembers) return (await Promise.all(userIds.map(one))).flat();
    const page = await store.listMemberCursors(channelId, "", pageMax);
    if (page.length < pageMax) return page;
    const last = page.at(-1)!.userId;
    const others = userIds.filter((userId) => userId > last);
    return [...page, ...(await Promise.all(others.map(one))).flat()];
  }
}

function itemOf(
  message: Message,
  { channel, members, isLive }: ChannelState,
): PushItem | undefined {
  const { channelId, messageId, senderId, body, mentionedUserIds, sendTime } = message;
  if (body.case === "membershipChange") {
    const userIds = stayChanges(message).ended.map(({ userId }) => userId);
    return userIds.length > 0 ? { kind: "departure", channelId, userIds } : undefined;
  }
  if (isDeletion(message)) return { kind: "departure", channelId, userIds: "everybody" };
  if (body.case !== "text") return undefined;
  const all = isLive ? mentionedUserIds : [...members.keys()];
  return {
    kind: "text",
    channelId,
    channelName: channel.name,
    isLive,
    messageId,
    senderId,
    text: body.value,
    sendTimeMs: sendTime ? timestampMs(sendTime) : 0,
    userIds: all.filter((userId) => userId !== senderId),
  };
}

function revisionOf({ channelId, messageId, change }: Revision): PushItem | undefined {
  if (change.case !== "edit" && change.case !== "deletion") return undefined;
  const text = change.case === "edit" ? change.value.text : undefined;
  return { kind: "revision", channelId, messageId, text };
}

function keyOf({ channelId, userId }: PushMember): string {
  return `${channelId} ${userId}`;
}

function receivedOf(row: MemberCursorRow): [string, bigint] {
  return [keyOf(row), maxId(row.deliveredMessageId, row.readMessageId)];
}
