/**
 * The one that appends to a channel's log, as far as this process knows (DESIGN section 4).
 *
 * One append is under way at a time; what arrives meanwhile becomes the next entry. Each append
 * expects the last entry that the writer has seen, so that two writers of one channel still make
 * one order: who loses reloads and decides again. An append of unknown outcome is resolved by
 * reloading from the leader and offering the same changes again: if it was stored, or lands
 * later, its client ids are recognised, and the expectation lets only one of the two in.
 */
import type { Clock } from "../../../mesh/clock.ts";
import { DomainError } from "../../../mesh/errors.ts";
import { AppendOutcomeUnknown, type Stream, WrongLastSequence } from "../../../mesh/streams.ts";
import { asUnavailable, refuse } from "../message-codes.ts";
import type { MessageStore } from "../store/message-store.ts";
import type { Blocks } from "./blocks.ts";
import type { Basis, Change } from "./channel-change.ts";
import { Draft } from "./channel-draft.ts";
import { type LoadedChannel, loadChannel, refreshChannel } from "./channel-loader.ts";
import { findTargets } from "./find-targets.ts";
import { learnMembers } from "./live-members.ts";
import { fingerprint, type Placement } from "./placement.ts";
import { findStoredSend } from "./stored-sends.ts";
import type { Usernames } from "./usernames.ts";

/** What a writer needs; shared by all writers of a process. */
export interface WriterDependencies {
  log: Stream;
  store: MessageStore;
  /** Hands out `count` ascending ids greater than `greaterThan`. */
  takeIds(count: number, greaterThan: bigint): bigint[] | Promise<bigint[]>;
  /**
   * A snapshot older than this is taken anew. What follows one can't be read without it: half of
   * what the log keeps for certain. Default: 30 minutes.
   */
  snapshotAgeMaxMs?: number;
  /** Who is mentioned. */
  usernames: Usernames;
  /** Who is blocked. */
  blocks: Blocks;
  clock: Clock;
}

/** Changes to an entry; with texts of any length also {@link entryBytesMax}. */
const entryItemsMax = 256;
/** 512 KB: two of them fit a NATS message with room for headers (DESIGN section 3). */
const entryBytesMax = 512 * 1024;
/** Changes that may wait for a channel. */
const queueMax = 1_024;
/** Reads that may wait for a channel; one look at the log answers them all. */
const readersMax = 16_384;
/** Tries of one batch before its callers are told to come back. */
const triesMax = 8;
/** Default and limit of {@link WriterDependencies.snapshotAgeMaxMs}. */
export const snapshotAgeMaxMsDefault = 30 * 60_000;

/** Appends to one channel. */
export class ChannelWriter {
  readonly channelId: string;
  private readonly deps: WriterDependencies;
  private loaded: LoadedChannel | undefined;
  private changes: Change[] = [];
  private readers: Reader[] = [];
  private running = false;
  private readonly onIdle: (writer: ChannelWriter) => void;

  /** @param onIdle told whenever nothing is under way any more */
  constructor(
    channelId: string,
    deps: WriterDependencies,
    onIdle: (writer: ChannelWriter) => void = () => {},
  ) {
    this.channelId = channelId;
    this.deps = deps;
    this.onIdle = onIdle;
  }

  /** Whether nothing is under way: the writer may be forgotten. */
  get isIdle(): boolean {
    return !this.running;
  }

  /** The channel as far as it is known; it may be ahead of what is stored, or behind. */
  get atHand(): LoadedChannel | undefined {
    return this.loaded;
  }

  /** Takes a change into the queue; `done` is told what became of it. */
  submit(change: Change): void {
    if (this.changes.length >= queueMax) {
      const text = `${queueMax} changes of ${this.channelId} are waiting`;
      change.done(new DomainError("OVERLOADED", text, { retryAfterMs: 500 }));
      return;
    }
    this.changes.push(change);
    this.start();
  }

  /**
   * The channel with everything that was acknowledged before the call, by whomever. Look at it
   * before awaiting anything: it moves on, also with what is not stored in the end.
   * @param userId whose membership the state is to know
   * @throws DomainError UNAVAILABLE, OVERLOADED
   */
  read(userId?: string): Promise<LoadedChannel> {
    if (this.readers.length >= readersMax) {
      const text = `${readersMax} reads of ${this.channelId} are waiting`;
      return Promise.reject(new DomainError("OVERLOADED", text, { retryAfterMs: 500 }));
    }
    return new Promise((resolve, reject) => {
      const answer = (loaded: LoadedChannel | Error) =>
        loaded instanceof Error ? reject(loaded) : resolve(loaded);
      this.readers.push({ userId, answer });
      this.start();
    });
  }

  private start(): void {
    if (this.running) return;
    this.running = true;
    // What is submitted in this turn shares the first entry.
    queueMicrotask(() => void this.run());
  }

  private async run(): Promise<void> {
    while (this.changes.length > 0 || this.readers.length > 0) {
      if (this.readers.length > 0) await this.answerReaders();
      if (this.changes.length > 0) await this.write(this.nextBatch());
    }
    this.running = false;
    this.onIdle(this);
  }

  private async answerReaders(): Promise<void> {
    const readers = this.readers.splice(0);
    try {
      const loaded = await this.refresh();
      const userIds = readers.flatMap(({ userId }) => userId ?? []);
      await learnMembers(loaded.state, userIds, this.deps);
      for (const { answer } of readers) answer(loaded);
    } catch (thrown) {
      this.loaded = undefined;
      const error = asUnavailable(thrown);
      for (const { answer } of readers) answer(error);
    }
  }

  private nextBatch(): Change[] {
    let count = 0;
    let bytes = 0;
    while (count < Math.min(this.changes.length, entryItemsMax)) {
      bytes += this.changes[count]!.bytes;
      if (count > 0 && bytes > entryBytesMax) break;
      count++;
    }
    return this.changes.splice(0, count);
  }

  /** Brings a batch to its end: every change of it is told its outcome. */
  private async write(batch: Change[]): Promise<void> {
    let open = batch;
    for (let tries = 1; open.length > 0; tries++) {
      open = this.dropExpired(open);
      try {
        open = await this.tryWrite(open);
      } catch (thrown) {
        // The state may have moved on with what was not stored.
        this.loaded = undefined;
        const again = thrown instanceof WrongLastSequence || thrown instanceof AppendOutcomeUnknown;
        if (again && tries < triesMax) continue;
        const error = asUnavailable(thrown);
        for (const change of open) change.done(error);
        return;
      }
    }
  }

  private dropExpired(batch: Change[]): Change[] {
    const nowMs = this.deps.clock.nowMs();
    if (batch.every((change) => change.deadlineMs > nowMs)) return batch;
    const error = new DomainError("DEADLINE_EXCEEDED", "the deadline passed before the append");
    for (const change of batch) if (change.deadlineMs <= nowMs) change.done(error);
    return batch.filter((change) => change.deadlineMs > nowMs);
  }

  /**
   * Appends what a batch comes to, then tells the changes their outcome. An append that is
   * accepted proves that what was decided beside it was decided on the channel as it is; without
   * one, the log is asked whether anything is newer.
   * @returns the changes that are still open.
   */
  private async tryWrite(batch: Change[]): Promise<Change[]> {
    const { log } = this.deps;
    const isFresh = this.loaded === undefined;
    const loaded = this.loaded ?? (await this.load());
    const ids = await this.deps.takeIds(
      batch.length + 1,
      loaded.state?.channel.lastMessageId ?? 0n,
    );
    const { clock, snapshotAgeMaxMs = snapshotAgeMaxMsDefault } = this.deps;
    const bases = await this.basesOf(batch, loaded);
    const draft = new Draft(this.channelId, loaded, ids, clock.nowMs(), snapshotAgeMaxMs);
    const ignorance = await this.learnMembersOf(batch, bases, loaded);
    const settled: (() => void)[] = [];
    for (let i = 0; i < batch.length; i++) {
      const change = batch[i]!;
      try {
        // Only those changes hang on it that concern somebody unknown.
        if (ignorance && !concerned(change).every((id) => loaded.state?.knows(id))) throw ignorance;
        const placement = await this.place(change, bases[i]!, draft);
        settled.push(() => change.done({ placement, state: loaded.state! }));
      } catch (thrown) {
        if (!(thrown instanceof DomainError)) throw thrown;
        settled.push(() => change.done(thrown));
      }
    }
    if (draft.isEmpty && !isFresh) {
      const seen = loaded.lastLogSequence;
      const refreshed = await this.refresh();
      if (refreshed !== loaded || loaded.lastLogSequence !== seen) return batch;
    }
    await draft.append(log);
    this.keep(loaded);
    for (const settle of settled) settle();
    return [];
  }

  /** A change's place: where it was stored before, or where the draft puts it. */
  private async place(change: Change, basis: Basis, draft: Draft): Promise<Placement | undefined> {
    const known = await this.findStored(change, draft.loaded);
    const decide = () => change.decide(draft.loaded.state, basis);
    if (!known) {
      const decision = decide();
      return decision && draft.add(change, decision, basis.target);
    }
    // Who resends learns the first result, but a client id used for something else is refused.
    const decision = tryOr(decide, undefined);
    if (decision && fingerprint(decision) !== known.fingerprint) {
      throw refuse(
        "CLIENT_MESSAGE_ID_REUSED",
        `client_message_id ${change.clientMessageId} was used for something else`,
      );
    }
    return known;
  }

  /** What the decisions of a batch ask for, each. */
  private async basesOf(batch: readonly Change[], loaded: LoadedChannel): Promise<Basis[]> {
    const { log, store, usernames, blocks } = this.deps;
    const targetIds = batch.flatMap(({ targetId }) => targetId || []);
    const [targets, userIds, blocked] = await Promise.all([
      findTargets(this.channelId, targetIds, loaded, log, store),
      Promise.all(batch.map(({ names = [], senderId }) => usernames.resolve(names, senderId))),
      Promise.all(batch.map(({ senderId }) => blocks.isBlocked(loaded.state, senderId))),
    ]);
    return batch.map(({ targetId = 0n }, i) => {
      const target = targets.get(targetId) ?? "missing";
      return { target, userIdsByName: userIds[i]!, isBlocked: blocked[i]! };
    });
  }

  /** Makes the state know whom a batch concerns or mentions; returns why it could not. */
  private async learnMembersOf(
    batch: readonly Change[],
    bases: readonly Basis[],
    loaded: LoadedChannel,
  ): Promise<Error | undefined> {
    const mentioned = bases.flatMap(({ userIdsByName }) => [...userIdsByName.values()]);
    const userIds = [...batch.flatMap(concerned), ...mentioned];
    try {
      await learnMembers(loaded.state, userIds, this.deps);
      return undefined;
    } catch (thrown) {
      return asUnavailable(thrown);
    }
  }

  private async findStored(change: Change, loaded: LoadedChannel): Promise<Placement | undefined> {
    const { senderId, clientMessageId, clientTimeMs } = change;
    if (clientMessageId === "") return undefined;
    const recent = loaded.recent.find(senderId, clientMessageId);
    if (recent || loaded.recent.isConclusive(clientTimeMs)) return recent;
    const { log, store } = this.deps;
    try {
      return await findStoredSend(this.channelId, senderId, clientMessageId, loaded, log, store);
    } catch (thrown) {
      // Only this change hangs on it.
      throw asUnavailable(thrown);
    }
  }

  /** The channel as of now. */
  private async refresh(): Promise<LoadedChannel> {
    const { loaded, deps } = this;
    if (loaded && (await refreshChannel(loaded, this.channelId, deps.log))) return loaded;
    return this.load();
  }

  private async load(): Promise<LoadedChannel> {
    const { log, store } = this.deps;
    return this.keep(await loadChannel(this.channelId, log, store));
  }

  /**
   * Keeps the channel at hand. Not where the log holds nothing of it: what others append and the
   * store takes over can be trimmed until the log holds nothing again, and an append that expects
   * nothing would be accepted.
   */
  private keep(loaded: LoadedChannel): LoadedChannel {
    this.loaded = loaded.lastLogSequence > 0 ? loaded : undefined;
    return loaded;
  }
}

/** Whose memberships a change hangs on. */
function concerned({ senderId, userIds = [] }: Change): readonly string[] {
  return [senderId, ...userIds];
}

interface Reader {
  userId: string | undefined;
  answer(loaded: LoadedChannel | Error): void;
}

function tryOr<T>(attempt: () => T, otherwise: T): T {
  try {
    return attempt();
  } catch {
    return otherwise;
  }
}
