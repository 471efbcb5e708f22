import type { Message, ParleyClient, Refused, Renamed, Sent } from "../sdk/index.ts";
import type { People } from "./chat-people.ts";
import { dayOf, inWords, messageLines, unsettledLine } from "./chat-words.ts";
import type { Terminal } from "./terminal.ts";
import { harmless } from "./terminal-text.ts";

/** Messages that are shown when a conversation is opened, and for each `/older`. */
const pageSize = 20;

/** The conversation that is on the screen. */
interface Open {
  channelId: string;
  /** The oldest message that is shown; 0: none. */
  oldestId: bigint;
  /** The newest one's number in the channel. */
  lastSequence: number;
}

/** A text of one's own that is not shown in its place yet. */
interface Unsettled {
  channelId: string;
  text: string;
  isAccepted: boolean;
}

/** What is on the screen of the conversations, and what is unread in the others. */
export class Conversations {
  private readonly client: ParleyClient;
  private readonly people: People;
  private readonly terminal: Terminal;
  private readonly unreadCounts = new Map<string, number>();
  private readonly unsettled = new Map<string, Unsettled>();
  private readonly waiting: (() => void)[] = [];
  private open: Open | undefined;
  private shownDay = "";
  private isCaughtUp = false;
  private isOnline = false;
  /** Everything is shown one after the other: names are looked up in between. */
  private showing: Promise<void> = Promise.resolve();

  constructor(client: ParleyClient, people: People, terminal: Terminal) {
    this.client = client;
    this.people = people;
    this.terminal = terminal;
    for (const { clientMessageId, channelId, text } of client.queuedSends) {
      this.unsettled.set(clientMessageId, { channelId, text, isAccepted: false });
    }
    // A new device has everything before it; in an older one, what it was not told of is news.
    const isNew = client.knownChannels.length === 0;
    client.on("baseline", ({ channelId, messageId }) => {
      if (!isNew && messageId > 0n) this.show(() => this.onUnread(channelId));
    });
    client.on("message", (message) => this.show(() => this.onMessage(message)));
    client.on("sent", (sent) => this.onSent(sent));
    client.on("renamed", (renamed) => this.onRenamed(renamed));
    client.on("refused", (refused) => this.onRefused(refused));
    client.on("unreadChanged", ({ channelId, unreadCount }) => {
      if (unreadCount === 0) this.show(() => this.onReadElsewhere(channelId));
    });
    client.on("caughtUp", () => this.show(() => this.onCaughtUp()));
    client.on("state", ({ status }) => this.onOnline(status === "online"));
    this.drawPrompt();
  }

  /** The channel of the open conversation. */
  get channelId(): string | undefined {
    return this.open?.channelId;
  }

  /** Unread texts of a channel. */
  unread(channelId: string): number {
    return this.unreadCounts.get(channelId) ?? 0;
  }

  /** Puts a conversation on the screen, with its latest messages. @throws ConnectError */
  async enter(channelId: string, subtitle = ""): Promise<void> {
    const title = await this.people.title(channelId);
    const { messages } = await this.client.history(channelId, { pageSize });
    await this.show(async () => {
      const open = { channelId, oldestId: messages.at(-1)?.messageId ?? 0n, lastSequence: 0 };
      this.open = open;
      this.unreadCounts.delete(channelId);
      this.shownDay = "";
      this.drawPrompt();
      this.drawUnsettled();
      this.terminal.print(this.terminal.paint("bold", title) + (subtitle && ` · ${subtitle}`));
      for (const message of messages.reverse()) await this.print(message);
      const newest = messages.at(-1);
      if (newest) this.client.reading.markRead(channelId, newest.messageId);
      // What has come since the page was read is shown next, the rest of it is a repetition.
      open.lastSequence = messages.at(-1)?.channelSequence ?? 0;
    });
  }

  /** Takes the conversation off the screen. */
  leave(): void {
    this.open = undefined;
    this.drawPrompt();
    this.drawUnsettled();
  }

  /** Shows the messages before the oldest one on the screen. @throws ConnectError */
  async showOlder(): Promise<void> {
    const { open } = this;
    if (!open) return;
    const start = { case: "beforeMessageId", value: open.oldestId } as const;
    const { messages } = await this.client.history(open.channelId, { pageSize, start });
    await this.show(async () => {
      if (messages.length === 0) this.terminal.print("There is nothing older.");
      open.oldestId = messages.at(-1)?.messageId ?? open.oldestId;
      this.shownDay = "";
      for (const message of messages.reverse()) await this.print(message);
    });
  }

  /** Sends a text to the open conversation. @throws ConnectError where it can't be sent at all */
  send(text: string): void {
    const { channelId } = this.open!;
    const { clientMessageId } = this.client.send(channelId, text);
    this.unsettled.set(clientMessageId, { channelId, text, isAccepted: false });
    this.drawUnsettled();
  }

  /** Resolves when all of one's own texts are shown in their places, or refused. */
  async settled(): Promise<void> {
    if (this.unsettled.size > 0) await new Promise<void>((resolve) => this.waiting.push(resolve));
    await this.showing;
  }

  private async onMessage(message: Message): Promise<void> {
    const { channelId, channelSequence, clientMessageId, senderId, body } = message;
    if (channelId === this.open?.channelId) {
      if (channelSequence <= this.open.lastSequence) return;
      this.open.lastSequence = channelSequence;
      if (this.open.oldestId === 0n) this.open.oldestId = message.messageId;
      this.settle(clientMessageId);
      await this.print(message);
      this.client.reading.markRead(channelId, message.messageId);
      return;
    }
    this.settle(clientMessageId);
    if (senderId !== this.client.owner.userId && body.case === "text") {
      await this.onUnread(channelId);
    }
  }

  private async onUnread(channelId: string): Promise<void> {
    const count = this.unread(channelId) + 1;
    this.unreadCounts.set(channelId, count);
    this.drawPrompt();
    if (count === 1 && this.isCaughtUp) await this.announce(channelId);
  }

  /** Another device of the user's has shown everything. */
  private async onReadElsewhere(channelId: string): Promise<void> {
    if (this.unreadCounts.delete(channelId)) this.drawPrompt();
  }

  private async onCaughtUp(): Promise<void> {
    if (this.isCaughtUp) return;
    this.isCaughtUp = true;
    for (const channelId of this.unreadCounts.keys()) await this.announce(channelId);
  }

  private onSent({ clientMessageId }: Sent): void {
    const unsettled = this.unsettled.get(clientMessageId);
    if (!unsettled) return;
    unsettled.isAccepted = true;
    this.drawUnsettled();
  }

  private onRenamed({ previousClientMessageId, clientMessageId }: Renamed): void {
    const unsettled = this.unsettled.get(previousClientMessageId);
    if (!unsettled) return;
    this.unsettled.delete(previousClientMessageId);
    this.unsettled.set(clientMessageId, unsettled);
  }

  private onRefused({ clientMessageId, error }: Refused): void {
    const text = this.unsettled.get(clientMessageId)?.text ?? "";
    this.settle(clientMessageId);
    const { terminal } = this;
    terminal.tell(`✗ not sent: ${harmless(text)}\n  ${inWords(error)}`, "red");
  }

  private onOnline(isOnline: boolean): void {
    this.isOnline = isOnline;
    this.drawPrompt();
  }

  private async announce(channelId: string): Promise<void> {
    const title = await this.people.title(channelId).catch(() => "a conversation");
    const count = this.unread(channelId);
    if (count === 0) return;
    const { terminal } = this;
    terminal.tell(`● ${title}: ${count} unread · /open ${title}`, "yellow");
  }

  private async print(message: Message): Promise<void> {
    const { people, terminal, client } = this;
    const { senderId, body } = message;
    const named = body.case === "membershipChange" ? body.value.userIds : [];
    // Where names can't be looked up just now, messages are shown without.
    await people.meet([senderId, ...named]).catch(() => {});
    const day = dayOf(message);
    if (day !== this.shownDay) terminal.tell(`      ${day}`, "dim");
    this.shownDay = day;
    const { paint, columns } = terminal;
    const { nameOf } = people;
    terminal.print(messageLines(message, { nameOf, paint, columns, myId: client.owner.userId }));
  }

  private show(task: () => Promise<void>): Promise<void> {
    this.showing = this.showing.then(task);
    return this.showing;
  }

  private settle(clientMessageId: string): void {
    if (!this.unsettled.delete(clientMessageId)) return;
    this.drawUnsettled();
    if (this.unsettled.size === 0) for (const resolve of this.waiting.splice(0)) resolve();
  }

  private drawUnsettled(): void {
    const lines = [...this.unsettled.values()]
      .filter(({ channelId }) => channelId === this.open?.channelId)
      .map(({ text, isAccepted }) => unsettledLine(text, isAccepted));
    this.terminal.setUnsettled(lines);
  }

  private drawPrompt(): void {
    if (!this.terminal.isTty) return;
    const title = this.open ? this.people.titleOf(this.open.channelId) : "";
    const marks = [];
    if (!this.isOnline) marks.push("offline");
    const unread = [...this.unreadCounts.values()].reduce((sum, count) => sum + count, 0);
    if (unread > 0) marks.push(`${unread} unread`);
    const mark = marks.length > 0 ? `[${marks.join(", ")}] ` : "";
    this.terminal.setPrompt(`${mark}${title}> `);
  }
}
