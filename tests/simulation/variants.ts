/**
 * Systems with one mistake each, to show that the simulation finds such mistakes: each names the
 * invariant that it must be caught by while no other is checked.
 */
import { InboxFeeds } from "../../mesh/inbox-feed.ts";
import { AppendOutcomeUnknown, type LiveMessage, type Stream } from "../../mesh/streams.ts";
import { type Following, FollowingState } from "../../mesh/subject-feed-following.ts";
import type { Change } from "../../services/message/channel/channel-change.ts";
import { type LoadedChannel, loadChannel } from "../../services/message/channel/channel-loader.ts";
import { ChannelStates } from "../../services/message/channel/channel-states.ts";
import { ChannelWriter } from "../../services/message/channel/channel-writer.ts";
import { RecentSends } from "../../services/message/channel/recent-sends.ts";
import { RevisionTargets } from "../../services/message/channel/revision-targets.ts";
import { Visibility } from "../../services/message/history/visibility.ts";
import { type MessageStore, StoreUnavailable } from "../../services/message/store/message-store.ts";
import { edgeInbox, messageLog, replaceMethod, workerLog } from "./broken-parts.ts";
import type { Invariant } from "./invariants.ts";
import { type Parts, realParts } from "./parts.ts";

/** A system with a mistake. */
export interface Variant {
  /** What it does wrong. */
  name: string;
  invariant: Invariant;
  /** The parts to run with; unset: the real ones. */
  parts?: Parts;
  /** Puts the mistake into a class; returns what takes it out again. */
  patch?: () => () => void;
}

/** All of them. */
export const variants: readonly Variant[] = [
  {
    name: "acknowledges before the append",
    invariant: "acknowledged-once",
    parts: messageLog((log) => ({
      append: async (subject, data, options) => {
        log.append(subject, data, options).catch(() => {});
        return sequenceAfter(options);
      },
    })),
  },
  {
    name: "takes an append of unknown outcome for stored",
    invariant: "acknowledged-once",
    parts: messageLog((log) => ({
      append: async (subject, data, options) => {
        try {
          return await log.append(subject, data, options);
        } catch (error) {
          if (error instanceof AppendOutcomeUnknown) return sequenceAfter(options);
          throw error;
        }
      },
    })),
  },
  {
    name: "remembers a message that is revised as it was first asked for",
    invariant: "right-decisions",
    patch: () => replaceMethod(RevisionTargets, "apply", () => () => {}),
  },
  {
    name: "tells nobody who asks of earlier revisions",
    invariant: "complete-views",
    parts: {
      ...realParts,
      messageService: (deps) =>
        realParts.messageService({
          ...deps,
          store: { ...deps.store, listRevisions: async () => [] },
        }),
    },
  },
  {
    name: "takes an id that memory does not hold for a new one",
    invariant: "acknowledged-once",
    patch: () => replaceMethod(RecentSends, "isConclusive", () => () => true),
  },
  {
    name: "does not load a channel anew after an append that failed",
    invariant: "acknowledged-once",
    patch: () => {
      const loads = new WeakMap<object, LoadedChannel>();
      return replaceMethod(
        ChannelWriter,
        "load",
        (load) =>
          async function (this: { loaded: LoadedChannel }) {
            if (!loads.has(this)) loads.set(this, await load.call(this));
            this.loaded = loads.get(this)!;
            return this.loaded;
          },
      );
    },
  },
  {
    name: "appends without expecting the last entry that it has seen",
    invariant: "dense-order",
    parts: messageLog((log) => ({ append: (subject, data) => log.append(subject, data) })),
  },
  {
    name: "takes ids without regard to the channel's last one",
    invariant: "dense-order",
    parts: {
      ...realParts,
      messageService: (deps) =>
        realParts.messageService({ ...deps, takeIds: (count) => deps.takeIds(count, 0n) }),
    },
  },
  {
    name: "does its work after the checkpoint has moved",
    invariant: "complete-views",
    parts: workerLog(workingLate),
  },
  {
    name: "never compares tails",
    invariant: "complete-views",
    patch: () => replaceMethod(InboxFeeds, "compareTails", () => async () => {}),
  },
  {
    name: "passes on what comes live, whatever it follows",
    invariant: "no-silent-gap",
    patch: () => replaceMethod(InboxFeeds, "onMessage", () => passOn),
  },
  {
    name: "does not see that entries were trimmed",
    invariant: "no-silent-gap",
    parts: edgeInbox((inbox) => ({
      read: async (subject, options) => {
        const page = await inbox.read(subject, options);
        const sequence = options?.fromSequence ?? 1;
        if (page.entries[0]?.sequence === sequence || page.entries.length === 0) return page;
        const own = { sequence, subject, data: new Uint8Array() };
        return { ...page, entries: [own, ...page.entries] };
      },
    })),
  },
  {
    name: "fans out to the members of today",
    invariant: "membership-respected",
    patch: () => replaceMethod(ChannelStates, "before", withMembersOfToday),
  },
  {
    name: "decides once, not again on what others have appended",
    invariant: "right-decisions",
    patch: () =>
      replaceMethod(
        ChannelWriter,
        "submit",
        (submit) =>
          function (this: ChannelWriter, change: Change) {
            submit.call(this, { ...change, decide: once(change.decide) });
          },
      ),
  },
  {
    name: "refuses by what it remembers of a channel",
    invariant: "right-decisions",
    patch: () =>
      replaceMethod(
        ChannelWriter,
        "refresh",
        (refresh) =>
          async function (this: { loaded: LoadedChannel | undefined }) {
            return this.loaded ?? refresh.call(this);
          },
      ),
  },
  {
    name: "shows a channel's whole history to whoever was ever in it",
    invariant: "membership-respected",
    patch: () => replaceMethod(Visibility, "includes", () => () => true),
  },
  {
    name: "reads the history from the store alone",
    invariant: "complete-history",
    parts: messageLog(() => ({ checkpoint: async () => 1e12 })),
  },
  {
    name: "moves the checkpoint before the store has taken over",
    invariant: "complete-history",
    parts: workerLog(workingLate),
  },
  {
    name: "drops what the store refuses",
    invariant: "store-follows-log",
    parts: {
      ...realParts,
      workers: ({ store, ...deps }) =>
        realParts.workers({
          ...deps,
          store: { ...store, apply: (batch) => store.apply(batch).catch(() => {}) },
        }),
    },
  },
  {
    name: "acknowledges at once and appends in any order",
    invariant: "client-order",
    parts: messageLog((log) => ({
      append: async (subject, data, options) => {
        void appendSometime(log, subject, data);
        return sequenceAfter(options);
      },
    })),
  },
  {
    name: "goes on with a channel as it has it, though entries come again",
    invariant: "progress",
    patch: () => {
      const known = new Map<string, unknown>();
      return replaceMethod(
        ChannelStates,
        "before",
        (before) =>
          async function (this: object, entry, sequence) {
            const key = entry.channelId;
            if (!known.has(key)) known.set(key, await before.call(this, entry, sequence));
            return known.get(key);
          },
      );
    },
  },
];

function sequenceAfter(options: Parameters<Stream["append"]>[2]): number {
  return (options?.expectedLastSequence ?? 0) + 1;
}

/** Appends after a while that has nothing to do with the order of the calls. */
async function appendSometime(log: Stream, subject: string, data: Uint8Array): Promise<void> {
  try {
    for (let waits = data.length % 5; waits > 0; waits--) await log.last(subject);
    await log.append(subject, data);
  } catch {
    // Lost.
  }
}

function workingLate(log: Stream): Partial<Stream> {
  return {
    work: (options, handler) =>
      log.work(options, async (entries, batch) => {
        handler(entries, batch).catch(() => {});
      }),
  };
}

function passOn(
  this: { followed: Map<string, { first: Following | undefined }> },
  live: LiveMessage,
) {
  for (let each = this.followed.get(live.subject)?.first; each; each = each.next) {
    if (each.state !== FollowingState.LIVE || live.sequence <= each.position) continue;
    each.deliver({ ...live, prevSequence: each.position });
  }
}

function withMembersOfToday(before: (...args: unknown[]) => Promise<unknown>) {
  return async function (this: { log: Stream }, entry: { channelId: string }, sequence: number) {
    const state = (await before.call(this, entry, sequence)) as NonNullable<LoadedChannel["state"]>;
    const today = await loadChannel(entry.channelId, this.log, noStore).catch(() => undefined);
    if (!today?.state) return state;
    state.members.clear();
    for (const [userId, member] of today.state.members) state.members.set(userId, member);
    return state;
  };
}

const noStore = {
  getChannel: async () => {
    throw new StoreUnavailable("none");
  },
} as Partial<MessageStore> as MessageStore;

function once<A extends unknown[], R>(decide: (...args: A) => R): (...args: A) => R {
  let decided: { value: R } | undefined;
  return (...args) => {
    decided ??= { value: decide(...args) };
    return decided.value;
  };
}
