/** What a device knows, as it lies in its {@link ClientStore}. */
import type { ClientStore } from "./client-store.ts";

/** A position in the inbox: the sync token. */
export interface InboxPosition {
  /** Empty: none yet. */
  epoch: string;
  /** The last entry that the device has processed with all before it; 0: none. */
  sequence: bigint;
}

/** How far a device is in one channel. */
export interface ChannelPosition {
  channelId: string;
  /** The last message told of; 0: none. */
  lastMessageId: bigint;
  /** Its dense number. */
  lastChannelSequence: number;
  /** Whether the user is a member, as of that message. */
  member: boolean;
}

/** A text that is not acknowledged. */
export interface QueuedSend {
  channelId: string;
  /** Its order among all of the device's is the order of the sends. */
  clientMessageId: string;
  text: string;
  /** 0: none. */
  replyToMessageId: bigint;
}

/** The state of one device, written to its store as it changes. */
export class DeviceState {
  /** As it was loaded. */
  readonly loaded: LoadedState;
  private readonly store: ClientStore;
  private readonly onFailure: (error: unknown) => void;
  private dirty = new Map<string, string | undefined>();
  private writing: Promise<void> | undefined;

  private constructor(
    store: ClientStore,
    loaded: LoadedState,
    onFailure: (error: unknown) => void,
  ) {
    this.store = store;
    this.loaded = loaded;
    this.onFailure = onFailure;
  }

  /**
   * Reads the state of a user's device. What another user left in the store is removed: it must
   * not be sent in this one's name.
   */
  static async load(
    store: ClientStore,
    userId: string,
    onFailure: (error: unknown) => void,
  ): Promise<DeviceState> {
    const entries = new Map(await store.readAll());
    const mine = entries.get(userKey) === userId;
    const state = new DeviceState(store, parseState(mine ? entries : new Map()), onFailure);
    if (!mine) {
      for (const key of entries.keys()) state.dirty.set(key, undefined);
      state.put(userKey, userId);
    }
    return state;
  }

  /** Keeps the position in the inbox, and the greatest message id up to there. */
  setPosition({ epoch, sequence }: InboxPosition, curMaxMessageId: bigint): void {
    this.put(positionKey, JSON.stringify([epoch, `${sequence}`, `${curMaxMessageId}`]));
  }

  /** Keeps how far the device is in a channel. */
  setChannel({ channelId, lastMessageId, lastChannelSequence, member }: ChannelPosition): void {
    const value = [`${lastMessageId}`, lastChannelSequence, member];
    this.put(channelPrefix + channelId, JSON.stringify(value));
  }

  /** Keeps a text. */
  addSend({ clientMessageId, channelId, text, replyToMessageId }: QueuedSend): void {
    const value = JSON.stringify([channelId, text, `${replyToMessageId}`]);
    this.put(sendPrefix + clientMessageId, value);
  }

  /** Forgets a text. */
  removeSend(clientMessageId: string): void {
    this.put(sendPrefix + clientMessageId, undefined);
  }

  /** Resolves when everything set before is in the store, or the store has failed. */
  flush(): Promise<void> {
    this.writing ??= this.write();
    return this.writing;
  }

  private put(key: string, value: string | undefined): void {
    this.dirty.set(key, value);
    void this.flush();
  }

  private async write(): Promise<void> {
    // What is set during this turn, or while a write is under way, is written in one go.
    await Promise.resolve();
    while (this.dirty.size > 0) {
      const entries = this.dirty;
      this.dirty = new Map();
      try {
        await this.store.write(entries);
      } catch (error) {
        this.onFailure(error);
      }
    }
    this.writing = undefined;
  }
}

/** What a store held. */
export interface LoadedState {
  position: InboxPosition;
  curMaxMessageId: bigint;
  channels: ChannelPosition[];
  /** In the order of the sends. */
  sends: QueuedSend[];
}

const userKey = "user";
const positionKey = "position";
const channelPrefix = "channel/";
const sendPrefix = "send/";

function parseState(entries: ReadonlyMap<string, string>): LoadedState {
  const state: LoadedState = {
    position: { epoch: "", sequence: 0n },
    curMaxMessageId: 0n,
    channels: [],
    sends: [],
  };
  for (const [key, text] of entries) {
    if (key === positionKey) {
      const [epoch, sequence, curMaxMessageId] = JSON.parse(text);
      state.position = { epoch, sequence: BigInt(sequence) };
      state.curMaxMessageId = BigInt(curMaxMessageId);
    } else if (key.startsWith(channelPrefix)) {
      const [lastMessageId, lastChannelSequence, member] = JSON.parse(text);
      const channelId = key.slice(channelPrefix.length);
      state.channels.push({
        channelId,
        lastMessageId: BigInt(lastMessageId),
        lastChannelSequence,
        member,
      });
    } else if (key.startsWith(sendPrefix)) {
      const [channelId, text_, replyToMessageId] = JSON.parse(text);
      const clientMessageId = key.slice(sendPrefix.length);
      state.sends.push({
        channelId,
        clientMessageId,
        text: text_,
        replyToMessageId: BigInt(replyToMessageId),
      });
    }
  }
  state.sends.sort((a, b) => (a.clientMessageId < b.clientMessageId ? -1 : 1));
  return state;
}
