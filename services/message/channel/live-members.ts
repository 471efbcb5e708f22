/**
 * Who is a member of a LIVE channel, for the few of whom it must be known: looked up in the store,
 * which lags behind the log, so that what has changed since counts for more. The state keeps what
 * was looked up and every change that the store may not have.
 */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Member, MemberSchema } from "../../../gen/parley/message/v1/message_pb.js";
import { unavailable } from "../../../mesh/errors.ts";
import type { Stream } from "../../../mesh/streams.ts";
import type { MembershipRow, MessageStore } from "../store/message-store.ts";
import { itemsOf } from "./channel-item.ts";
import type { ChannelState } from "./channel-state.ts";
import { decodeOrSkip, entriesOf } from "./log-entries.ts";
import { stayChanges } from "./stay-changes.ts";

/** Members known at once, of one channel; past it those that the store has are forgotten. */
const knownMax = 20_000;
/** Changes that the store has yet to take; past it the channel is UNAVAILABLE. */
const unpersistedMax = 200_000;
/** Look-ups at once. */
const lookUpsMax = 64;

/** What looking up needs. */
export interface MemberSources {
  log: Stream;
  store: MessageStore;
}

/**
 * Makes the state of a LIVE channel know these users; that of any other knows everybody, and there
 * may be no channel at all. The state must not move meanwhile.
 * @throws StoreUnavailable, StreamUnavailable, DomainError UNAVAILABLE
 */
export async function learnMembers(
  state: ChannelState | undefined,
  userIds: readonly string[],
  { log, store }: MemberSources,
): Promise<void> {
  if (!state?.isLive) return;
  const { channelId } = state.channel;
  const wanted = [...new Set(userIds)];
  const isUnknown = (userId: string) => !state.knows(userId);
  let unknown = wanted.filter(isUnknown);
  if (unknown.length === 0) return;
  const row = await store.getChannel(channelId);
  const persisted = row?.sequence ?? 0;
  if (persisted < state.coveredSequence) {
    await learnUnpersisted(state, row?.logSequence ?? 0, log);
    state.coveredSequence = persisted;
  }
  if (state.knownCount + unknown.length > knownMax) {
    state.forget(persisted);
    unknown = wanted.filter(isUnknown);
  }
  if (state.knownCount > unpersistedMax) {
    throw unavailable(`too many changes of the members of ${channelId} wait for the store`);
  }
  for (let from = 0; from < unknown.length; from += lookUpsMax) {
    const some = unknown.slice(from, from + lookUpsMax);
    const stays = await Promise.all(some.map((userId) => store.listStays(channelId, userId)));
    some.forEach((userId, i) => {
      const present = stays[i]!.find(({ leftSequence }) => leftSequence === 0);
      state.learn(userId, present && memberOfRow(present));
    });
  }
}

/** Reads what has happened to members after the store's point, as far as the state has come. */
async function learnUnpersisted(
  state: ChannelState,
  persistedLogSequence: number,
  log: Stream,
): Promise<void> {
  const { channelId, lastChannelSequence } = state.channel;
  const changed = new Map<string, { member: Member | undefined; sequence: number }>();
  for await (const stored of entriesOf(channelId, log, persistedLogSequence + 1)) {
    const entry = decodeOrSkip(stored);
    for (const item of entry ? itemsOf(entry) : []) {
      if (item.case !== "message" || item.value.channelSequence > lastChannelSequence) continue;
      const { begun, ended, changed: altered } = stayChanges(item.value);
      const sequence = item.value.channelSequence;
      for (const member of [...begun, ...altered]) changed.set(member.userId, { member, sequence });
      for (const { userId } of ended) changed.set(userId, { member: undefined, sequence });
    }
    if (changed.size > unpersistedMax) {
      throw unavailable(`too many changes of the members of ${channelId} wait for the store`);
    }
  }
  for (const [userId, { member, sequence }] of changed) state.learn(userId, member, sequence);
}

/** A member, as the store has it. */
export function memberOfRow({ userId, role, joinTimeMs, joinedSequence }: MembershipRow): Member {
  const joinTime = timestampFromMs(joinTimeMs);
  return create(MemberSchema, { userId, role, joinTime, joinedSequence });
}
