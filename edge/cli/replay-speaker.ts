import {
  createClient,
  type EdgeAddresses,
  type Message,
  MessageService,
  ParleyClient,
  type Revised,
  type Way,
} from "../sdk/index.ts";
import { untilAnswered } from "./replay-calls.ts";
import { noteChange } from "./replay-changes.ts";
import { type Shown, shown } from "./replay-check.ts";
import type { Measures } from "./replay-measures.ts";
import { DeviceNetwork } from "./replay-network.ts";
import type { Account } from "./replay-server.ts";
import type { Change, Turn } from "./replay-turn.ts";

/** Somebody who talks: an account with one connected device, and the record of what it is told. */
export class Speaker {
  readonly account: Account;
  private readonly client: ParleyClient;
  private readonly network: DeviceNetwork;
  private readonly measures: Measures;
  private readonly giveUp: AbortSignal;
  private readonly toldByChannel = new Map<string, Shown[]>();
  /** What was told last of each message. */
  private readonly toldById = new Map<bigint, Shown>();
  private readonly heard = new Set<string>();
  private readonly waiting = new Map<string, () => void>();
  /** The newest change of each message that the device knows. */
  private readonly seen = new Map<bigint, number>();
  private readonly watching = new Map<bigint, () => void>();
  /** Messages that have changed without the device being told how, and the reading of them. */
  private readonly unread = new Set<bigint>();
  private reading = Promise.resolve();

  private constructor(
    account: Account,
    client: ParleyClient,
    network: DeviceNetwork,
    measures: Measures,
    giveUp: AbortSignal,
  ) {
    this.account = account;
    this.client = client;
    this.network = network;
    this.measures = measures;
    this.giveUp = giveUp;
    client.on("message", (message) => this.onMessage(message));
    client.on("revised", (revised) => this.onRevised(revised));
  }

  /** @param giveUp ends further tries of calls that fail */
  static async open(
    url: EdgeAddresses,
    way: Way,
    account: Account,
    measures: Measures,
    giveUp: AbortSignal,
  ): Promise<Speaker> {
    const network = new DeviceNetwork();
    const { WebSocket, fetch } = network;
    const { tokens } = account;
    const client = await ParleyClient.open({ url, tokens, ways: [way], WebSocket, fetch });
    return new Speaker(account, client, network, measures, giveUp);
  }

  get userId(): string {
    return this.client.owner.userId;
  }

  /** Connects. Resolves when the device has its inbox: it is told of all that comes from then on. */
  async connect(): Promise<void> {
    const rebuilt = new Promise<void>((resolve) => {
      this.client.on("rebuilt", () => resolve());
    });
    await this.client.connect();
    await rebuilt;
    this.measures.moves++;
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  /** Opens the channel of the two. @returns its id */
  async openDirectChannel({ userId }: Speaker): Promise<string> {
    const messages = createClient(MessageService, this.client.transport);
    const { channel } = await untilAnswered(this.giveUp, () =>
      messages.createDirectChannel({ userId }),
    );
    return channel!.channelId;
  }

  /** Creates a group with the others in it. @returns its id */
  async createGroup(name: string, others: readonly Speaker[]): Promise<string> {
    const messages = createClient(MessageService, this.client.transport);
    const userIds = others.map(({ userId }) => userId);
    const clientMessageId = this.client.newClientMessageId();
    const { channel } = await untilAnswered(this.giveUp, () =>
      messages.createGroup({ clientMessageId, name, userIds }),
    );
    return channel!.channelId;
  }

  /** Adds somebody to a group. */
  async addMember(channelId: string, { userId }: Speaker): Promise<void> {
    const messages = createClient(MessageService, this.client.transport);
    const added = { channelId, clientMessageId: this.client.newClientMessageId() };
    await untilAnswered(this.giveUp, () => messages.addMembers({ ...added, userIds: [userId] }));
  }

  /** Removes somebody from a group. @returns the id under which devices hear of it */
  async removeMember(channelId: string, { userId }: Speaker): Promise<string> {
    const messages = createClient(MessageService, this.client.transport);
    const clientMessageId = this.client.newClientMessageId();
    const removed = { channelId, clientMessageId, userId };
    await untilAnswered(this.giveUp, () => messages.removeMember(removed));
    return clientMessageId;
  }

  get isAway(): boolean {
    return this.network.isAway;
  }

  /** Takes the device off the network. @returns what brings it back */
  leave(): () => void {
    const comeBack = this.network.leave();
    return () => {
      comeBack();
      this.client.wake();
    };
  }

  /**
   * Says a turn, perhaps as an answer to another; its id is known at once. Resolves when it is
   * acknowledged.
   * @throws ConnectError where the text is refused
   */
  async say(channelId: string, turn: Turn, repliesTo?: Turn): Promise<void> {
    const replyToMessageId = repliesTo?.acknowledgedId ?? 0n;
    const { clientMessageId, result } = this.client.send(channelId, turn.text, {
      replyToMessageId,
    });
    turn.clientMessageId = clientMessageId;
    this.measures.onSent(clientMessageId);
    const { messageId } = await result;
    turn.acknowledgedId = messageId;
    this.measures.onAcknowledged(clientMessageId);
  }

  /** Resolves when the device has been told of the message. */
  hears(clientMessageId: string): Promise<void> {
    if (this.heard.has(clientMessageId)) return Promise.resolve();
    return new Promise((resolve) => this.waiting.set(clientMessageId, resolve));
  }

  /** Changes one of the turns. Resolves when that is acknowledged. */
  async change(channelId: string, turns: readonly Turn[], change: Change): Promise<void> {
    const turn = turns[change.at]!;
    const messages = createClient(MessageService, this.client.transport);
    const clientMessageId = this.client.newClientMessageId();
    const request = { channelId, messageId: turn.acknowledgedId!, clientMessageId };
    const make = (): Promise<{ channelSequence: number }> => {
      switch (change.kind) {
        case "edit":
          return messages.editMessage({ ...request, text: change.text });
        case "delete":
          return messages.deleteMessage(request);
        case "react":
          return messages.addReaction({ ...request, emoji: change.emoji });
        case "take_back":
          return messages.removeReaction({ ...request, emoji: change.emoji });
      }
    };
    const { channelSequence } = await untilAnswered(this.giveUp, make);
    noteChange(turn, change, this.userId);
    turn.changedSequence = channelSequence;
    this.measures.onChanged();
  }

  /** Resolves when the device knows the message as this change, or a later one, made it. */
  sees(messageId: bigint, channelSequence: number): Promise<void> {
    if ((this.seen.get(messageId) ?? 0) >= channelSequence) return Promise.resolve();
    return new Promise((resolve) => {
      this.watching.set(messageId, () => {
        if ((this.seen.get(messageId) ?? 0) >= channelSequence) resolve();
      });
    });
  }

  /** What the device was told of a channel, in the order of telling. */
  told(channelId: string): readonly Shown[] {
    return this.toldByChannel.get(channelId) ?? [];
  }

  private onMessage(message: Message): void {
    const { channelId, messageId, clientMessageId, senderId, body } = message;
    const told = this.toldByChannel.get(channelId) ?? [];
    if (told.length === 0) this.toldByChannel.set(channelId, told);
    const now = shown(message);
    told.push(now);
    this.toldById.set(messageId, now);
    this.noteSeen(message);
    this.heard.add(clientMessageId);
    this.waiting.get(clientMessageId)?.();
    this.waiting.delete(clientMessageId);
    // A text may have been deleted before the device came to hear of it.
    const isText = body.case === "text" || message.deleteTime !== undefined;
    if (isText) this.measures.onDelivered(clientMessageId, senderId === this.userId);
  }

  private onRevised({ channelId, messageId, message }: Revised): void {
    if (message) {
      this.showAnew(message);
    } else if (!this.unread.has(messageId)) {
      this.unread.add(messageId);
      // One after the other, and none twice. Only giving up ends a reading without an answer.
      this.reading = this.reading.then(() => this.readAnew(channelId, messageId)).catch(() => {});
    }
  }

  private async readAnew(channelId: string, messageId: bigint): Promise<void> {
    this.unread.delete(messageId);
    const message = await this.read(channelId, messageId);
    if (message) this.showAnew(message);
  }

  private showAnew(message: Message): void {
    const { messageId, revisionSequence } = message;
    const told = this.toldById.get(messageId);
    if (!told || (this.seen.get(messageId) ?? 0) > revisionSequence) return;
    Object.assign(told, shown(message));
    this.noteSeen(message);
  }

  private async read(channelId: string, messageId: bigint): Promise<Message | undefined> {
    const start = { case: "aroundMessageId", value: messageId } as const;
    const { messages } = await untilAnswered(this.giveUp, () =>
      this.client.history(channelId, { start, pageSize: 2 }),
    );
    return messages.find((each) => each.messageId === messageId);
  }

  private noteSeen({ messageId, revisionSequence }: Message): void {
    this.seen.set(messageId, revisionSequence);
    this.watching.get(messageId)?.();
  }
}
