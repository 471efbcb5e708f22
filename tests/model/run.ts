/** One run of a plan against the real mesh, with a record of what was asked and answered. */
import { Code, ConnectError } from "@connectrpc/connect";
import { errorReason, logIn, MemberRole } from "../../edge/sdk/index.ts";
import { newAccount, password } from "../e2e/device.ts";
import type { Intent, ModelSettings } from "./channel-model.ts";
import { ModelDevice } from "./device.ts";
import {
  channelsCount,
  devicesEach,
  type Operation,
  type Round,
  usersCount,
} from "./operations.ts";

/** Something that a user asked for. */
export interface Attempt {
  userId: string;
  channelId: string;
  intent: Intent;
  clientMessageId: string;
  /** The round in which it was asked. */
  begun: number;
  /** And the one in which it was answered; undefined: never, it may have happened or not. */
  ended: number | undefined;
  answer: "open" | "accepted" | "refused";
  reason: string;
  /** Where a text was stored. */
  channelSequence: number;
}

/** A device and since when there is one. */
export interface Installed {
  device: ModelDevice;
  userId: string;
  /** The round in which it knew all channels for the last time without its inbox. */
  rebuilt: number;
}

/** A channel of the run. */
export interface RunChannel {
  channelId: string;
  settings: ModelSettings;
}

/** A run. */
export class Run {
  readonly channels: RunChannel[] = [];
  readonly attempts: Attempt[] = [];
  /** All that there were; the first of each slot's last is in use. */
  readonly installed: Installed[] = [];
  readonly userIds: string[] = [];
  private readonly nextUrl: () => string;
  private readonly fillerIds: readonly string[];
  private readonly slots: Installed[] = [];
  private readonly byClientId = new Map<string, Attempt>();
  private round = -1;
  private texts = 0;

  constructor(nextUrl: () => string, fillerIds: readonly string[]) {
    this.nextUrl = nextUrl;
    this.fillerIds = fillerIds;
  }

  /** The devices at the end of the run. */
  get devices(): readonly Installed[] {
    return this.slots;
  }

  /** Makes the users with their devices, online, and the channels. */
  async prepare(): Promise<void> {
    await Promise.all(
      Array.from({ length: usersCount }, async (_, user) => {
        const signIn = await newAccount(this.nextUrl(), `model-${user}`);
        this.userIds[user] = signIn.userId;
        for (let n = 0; n < devicesEach; n++) {
          const slot = user * devicesEach + n;
          const { username: login } = signIn;
          const url = this.nextUrl();
          await this.install(slot, n === 0 ? signIn : await logIn({ url, login, password }));
          await this.slots[slot]!.device.goOnline();
        }
      }),
    );
    const creator = this.slots[0]!.device;
    const others = this.userIds.slice(1);
    const { channel } = await creator.calls.createDirectChannel({ userId: others[0]! });
    const settings = { isGroup: false, isPublic: false, seesAll: true, mayAdd: false, name: "" };
    this.channels.push({ channelId: channel!.channelId, settings });
    for (let n = 1; n < channelsCount; n++) {
      const name = `group ${n}`;
      const isFull = n === channelsCount - 1;
      const is = { isPublic: isFull || n % 2 === 1, seesAll: !isFull && n >= 2 };
      const userIds = isFull ? [...others.slice(0, 2), ...this.fillerIds] : others.slice(0, n);
      const settings = { ...is, isGroup: true, mayAdd: false, name };
      const { channel } = await creator.calls.createGroup({
        clientMessageId: creator.client.newClientMessageId(),
        name,
        userIds,
        public: settings.isPublic,
        historyBeforeJoining: settings.seesAll,
      });
      this.channels.push({ channelId: channel!.channelId, settings });
    }
  }

  /** Does everything that the plan says. */
  async play(plan: readonly Round[]): Promise<void> {
    for (const operations of plan) {
      this.round++;
      const bySlot = Map.groupBy(operations, ({ device }) => device);
      await Promise.all(
        [...bySlot].map(async ([slot, own]) => {
          for (const operation of own) await this.take(slot, operation);
        }),
      );
    }
    this.round++;
    await Promise.all(this.slots.map(({ device }) => device.goOnline()));
    await Promise.all(this.slots.map(({ device }) => device.drained()));
  }

  /** Ends all devices. */
  async close(): Promise<void> {
    await Promise.all(this.slots.map(({ device }) => device.client.close()));
  }

  private async take(slot: number, { what, channel, user }: Operation): Promise<void> {
    const { device, userId } = this.slots[slot]!;
    const { channelId } = this.channels[channel]!;
    const who = { userId, channelId };
    const other = this.userIds[user]!;
    switch (what) {
      case "send":
        return this.send(slot, channelId);
      case "read": {
        const messageId = device.told(channelId, 0);
        if (messageId) await this.change(device, who, { kind: what, messageId });
        return;
      }
      case "edit":
      case "delete":
      case "react":
      case "unreact": {
        const messageId = device.told(channelId, user);
        if (!messageId) return;
        const emoji = emojis[user % emojis.length]!;
        const text = `text ${++this.texts}`;
        const intent =
          what === "edit"
            ? { kind: what, messageId, text }
            : what === "delete"
              ? { kind: what, messageId }
              : { kind: what, messageId, emoji };
        return this.change(device, who, intent);
      }
      case "add":
      case "remove":
      case "ban":
      case "unban":
      case "promote":
      case "demote":
        return this.change(device, who, { kind: what, userId: other });
      case "rename":
        return this.change(device, who, { kind: what, name: `name ${user}` });
      case "settings":
        return this.change(device, who, { kind: what, seesAll: user % 2 > 0, mayAdd: user > 1 });
      case "join":
      case "leave":
        // The first user reads the logs in the end.
        if (slot < devicesEach) return;
        return this.change(device, who, { kind: what });
      case "goOnline":
        return device.goOnline();
      case "goOffline":
        return device.goOffline();
      case "crash":
        return device.crash();
      case "cut":
        return device.cut();
      case "loseInbox":
        return device.loseInbox();
      case "reinstall":
        return this.reinstall(slot);
    }
  }

  private async install(slot: number, signIn: ModelDevice["signIn"]): Promise<void> {
    const name = `device ${slot} (${signIn.deviceId})`;
    const device = new ModelDevice(name, this.nextUrl(), signIn, {
      onRebuilt: () => {
        installed.rebuilt = this.round;
      },
      onSent: ({ clientMessageId, result: { channelSequence } }) =>
        this.end(clientMessageId, "accepted", { channelSequence }),
      onRefused: ({ clientMessageId, error }) =>
        this.end(clientMessageId, "refused", { reason: errorReason(error) }),
    });
    const installed = { device, userId: signIn.userId, rebuilt: Number.POSITIVE_INFINITY };
    await device.start();
    this.slots[slot] = installed;
    this.installed.push(installed);
  }

  private async reinstall(slot: number): Promise<void> {
    const { device } = this.slots[slot]!;
    await device.client.close();
    const { username: login } = device.signIn;
    await this.install(slot, await logIn({ url: this.nextUrl(), login, password }));
    await this.slots[slot]!.device.goOnline();
  }

  private async send(slot: number, channelId: string): Promise<void> {
    const { device, userId } = this.slots[slot]!;
    const intent = { kind: "send", text: `text ${++this.texts}` } as const;
    const { clientMessageId, result } = device.client.send(channelId, intent.text);
    this.note({ userId, channelId }, intent, clientMessageId);
    if (device.isOnline) await result.catch(() => {});
  }

  private async change(
    device: ModelDevice,
    who: { userId: string; channelId: string },
    intent: Exclude<Intent, { kind: "send" }>,
  ): Promise<void> {
    // Calls are not queued: an app that is offline does not offer them.
    if (!device.isOnline) return;
    const clientMessageId = device.client.newClientMessageId();
    this.note(who, intent, clientMessageId);
    try {
      const answer = await untilAnswered(() => {
        return request(device, who.channelId, clientMessageId, intent);
      });
      this.end(clientMessageId, "accepted", { ...answer });
    } catch (error) {
      this.end(clientMessageId, "refused", { reason: errorReason(error) });
    }
  }

  private note(
    who: { userId: string; channelId: string },
    intent: Intent,
    clientMessageId: string,
  ): void {
    const open = { begun: this.round, ended: undefined, answer: "open" } as const;
    const attempt = { ...who, ...open, intent, clientMessageId, reason: "", channelSequence: 0 };
    this.attempts.push(attempt);
    this.byClientId.set(clientMessageId, attempt);
  }

  private end(
    clientMessageId: string,
    answer: "accepted" | "refused",
    { reason = "", channelSequence = 0 },
  ): void {
    const attempt = this.byClientId.get(clientMessageId);
    if (attempt) Object.assign(attempt, { answer, reason, channelSequence, ended: this.round });
  }
}

/** What a change is answered with, as far as it matters here. */
interface Answer {
  $typeName: string;
  channelSequence?: number;
}

/** What messages are reacted to with. */
const emojis = ["👍", "❤️"];

function request(
  { calls }: ModelDevice,
  channelId: string,
  clientMessageId: string,
  intent: Exclude<Intent, { kind: "send" }>,
): Promise<Answer> {
  const change = { channelId, clientMessageId };
  switch (intent.kind) {
    case "read":
      return calls.markRead({ channelId, messageId: intent.messageId });
    case "edit":
      return calls.editMessage({ ...change, messageId: intent.messageId, text: intent.text });
    case "delete":
      return calls.deleteMessage({ ...change, messageId: intent.messageId });
    case "react":
      return calls.addReaction({ ...change, messageId: intent.messageId, emoji: intent.emoji });
    case "unreact":
      return calls.removeReaction({ ...change, messageId: intent.messageId, emoji: intent.emoji });
    case "add":
      return calls.addMembers({ ...change, userIds: [intent.userId] });
    case "remove":
      return calls.removeMember({ ...change, userId: intent.userId });
    case "ban":
      return calls.banUser({ ...change, userId: intent.userId });
    case "unban":
      return calls.unbanUser({ ...change, userId: intent.userId });
    case "promote":
      return calls.setMemberRole({ ...change, userId: intent.userId, role: MemberRole.ADMIN });
    case "demote":
      return calls.setMemberRole({ ...change, userId: intent.userId, role: MemberRole.MEMBER });
    case "rename":
      return calls.renameGroup({ ...change, name: intent.name });
    case "settings": {
      const { seesAll: historyBeforeJoining, mayAdd: membersMayAdd } = intent;
      return calls.changeGroupSettings({ ...change, historyBeforeJoining, membersMayAdd });
    }
    case "join":
      return calls.joinGroup(change);
    case "leave":
      return calls.leaveGroup(change);
  }
}

/** Asks again, with the same client id, as long as the outcome is unknown. */
async function untilAnswered(ask: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask();
    } catch (error) {
      const { code } = ConnectError.from(error);
      const isOpen = code === Code.Unavailable || code === Code.DeadlineExceeded;
      if (!isOpen || tries === triesMax) throw error;
    }
  }
}

/** Of one call: a connection is lost at most a few times in a round. */
const triesMax = 20;
