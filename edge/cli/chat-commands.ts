/** What can be typed after a slash. */
import {
  type Channel,
  type Client,
  createClient,
  type Friend,
  FriendState,
  MessageService,
  type ParleyClient,
  SessionService,
} from "../sdk/index.ts";
import type { Conversations } from "./chat-conversations.ts";
import type { People } from "./chat-people.ts";
import { presenceText } from "./chat-words.ts";
import type { Terminal } from "./terminal.ts";
import { harmless } from "./terminal-text.ts";

/** What commands work with. */
export interface CommandContext {
  client: ParleyClient;
  people: People;
  conversations: Conversations;
  terminal: Terminal;
}

/** Something that the person got wrong, in words. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

interface Command {
  usage: string;
  help: string;
  run(args: string[]): Promise<void>;
}

/** Conversations in a list: those with the newest messages. */
const listedMax = 30;
/** Users to one question for presence. */
const presencesMax = 100;

/** The commands of one person's terminal. `/quit` is not one of them. */
export class Commands {
  private readonly context: CommandContext;
  private readonly messages: Client<typeof MessageService>;
  private readonly sessions: Client<typeof SessionService>;
  private readonly table: Readonly<Record<string, Command>>;
  /** As `/channels` numbered them. */
  private listed: Channel[] = [];

  constructor(context: CommandContext) {
    this.context = context;
    this.messages = createClient(MessageService, context.client.transport);
    this.sessions = createClient(SessionService, context.client.transport);
    this.table = {
      open: {
        usage: "/open NAME",
        help: "talk with a person, or in a group; also a number from /channels",
        run: (words) => this.open(required(words.join(" "), "/open NAME")),
      },
      channels: { usage: "/channels", help: "your conversations", run: () => this.listChannels() },
      older: {
        usage: "/older",
        help: "earlier messages of this conversation",
        run: async () => {
          this.openChannel();
          await context.conversations.showOlder();
        },
      },
      group: {
        usage: "/group NAME USER…",
        help: "make a group with these people",
        run: ([name, ...users]) => this.createGroup(required(name, "/group NAME USER…"), users),
      },
      add: {
        usage: "/add USER…",
        help: "add people to this group",
        run: (users) => this.addMembers(users),
      },
      members: { usage: "/members", help: "who is here", run: () => this.listMembers() },
      leave: { usage: "/leave", help: "leave this group", run: () => this.leave() },
      delete: {
        usage: "/delete",
        help: "delete this group for everybody, if it is yours",
        run: () => this.deleteGroup(),
      },
      friend: {
        usage: "/friend USER",
        help: "ask somebody to be friends: friends see each other come and go",
        run: ([name]) => this.requestFriend(required(name, "/friend USER")),
      },
      accept: {
        usage: "/accept USER",
        help: "say yes to somebody who has asked",
        run: ([name]) => this.acceptFriend(required(name, "/accept USER")),
      },
      friends: {
        usage: "/friends",
        help: "your friends, and who has asked",
        run: () => this.listFriends(),
      },
      help: { usage: "/help", help: "this list", run: async () => this.help() },
    };
  }

  /** Does what a line that begins with a slash asks for. @throws CommandError, ConnectError */
  async run(line: string): Promise<void> {
    const [name = "", ...args] = splitArguments(line.slice(1));
    const command = Object.hasOwn(this.table, name) ? this.table[name] : undefined;
    if (!command) throw new CommandError(`There is no /${name}. /help lists what there is.`);
    await command.run(args);
  }

  /** Tells of people who have asked to be friends. */
  async tellInvitations(): Promise<void> {
    const { friends } = await this.sessions.listFriends({ state: FriendState.INVITED });
    for (const { user } of friends) {
      const name = harmless(user!.username);
      this.context.terminal.tell(`${name} wants to be friends: /accept ${name}`);
    }
  }

  private async open(name: string): Promise<void> {
    const { people, client, conversations } = this.context;
    const numbered = /^\d+$/.test(name) ? this.listed[Number(name) - 1] : undefined;
    if (numbered) return conversations.enter(numbered.channelId);
    const user = await people.find(name).catch(() => undefined);
    if (!user) {
      const group = await this.findGroup(name);
      if (!group) throw new CommandError(`There is nobody called ${name}, and no group of yours.`);
      return conversations.enter(group.channelId);
    }
    if (user.userId === client.owner.userId) throw new CommandError("That is you.");
    const { channel } = await this.messages.createDirectChannel({ userId: user.userId });
    const presence = await client.presence([user.userId]).catch(() => []);
    const subtitle = presence.map((each) => presenceText(each)).join();
    await conversations.enter(channel!.channelId, subtitle);
  }

  private async findGroup(name: string): Promise<Channel | undefined> {
    for await (const channel of this.context.client.channels()) {
      if (channel.name.toLowerCase() === name.toLowerCase()) return channel;
    }
    return undefined;
  }

  private async listChannels(): Promise<void> {
    const { client, people, conversations, terminal } = this.context;
    const channels: Channel[] = [];
    for await (const channel of client.channels()) channels.push(channel);
    channels.sort((a, b) => (a.lastMessageId > b.lastMessageId ? -1 : 1));
    this.listed = channels.slice(0, listedMax);
    if (channels.length === 0) terminal.tell("No conversations yet: /open NAME begins one.");
    for (const [i, channel] of this.listed.entries()) {
      const title = await people.title(channel);
      const unread = conversations.unread(channel.channelId);
      const isOpen = channel.channelId === conversations.channelId;
      const mark = isOpen ? "▸" : unread > 0 ? "●" : " ";
      const about = [
        ...(channel.name === "" ? [] : [count(channel.memberCount, "member")]),
        ...(unread > 0 ? [`${unread} unread`] : []),
      ];
      const line = `${mark} ${String(i + 1).padStart(2)} ${title}`;
      terminal.tell(about.length > 0 ? `${line} · ${about.join(", ")}` : line);
    }
    const hidden = channels.length - this.listed.length;
    if (hidden > 0) terminal.tell(`     and ${hidden} older ones`);
  }

  private async createGroup(name: string, usernames: string[]): Promise<void> {
    const { client, conversations } = this.context;
    const userIds = await this.findAll(usernames);
    const clientMessageId = client.newClientMessageId();
    const { channel } = await this.messages.createGroup({ clientMessageId, name, userIds });
    await conversations.enter(channel!.channelId);
  }

  private async addMembers(usernames: string[]): Promise<void> {
    required(usernames[0], "/add USER…");
    const channelId = this.openChannel();
    const userIds = await this.findAll(usernames);
    const clientMessageId = this.context.client.newClientMessageId();
    await this.messages.addMembers({ channelId, clientMessageId, userIds });
  }

  private async listMembers(): Promise<void> {
    const { people, client, terminal } = this.context;
    const userIds = await people.members(this.openChannel());
    const presences = await client.presence(userIds.slice(0, presencesMax)).catch(() => []);
    const known = new Map(presences.map((presence) => [presence.userId, presence]));
    for (const userId of userIds) {
      const presence = known.get(userId);
      const name = people.nameOf(userId);
      terminal.tell(presence ? `  ${name} · ${presenceText(presence)}` : `  ${name}`);
    }
  }

  private async leave(): Promise<void> {
    const channelId = this.openChannel();
    const clientMessageId = this.context.client.newClientMessageId();
    await this.messages.leaveGroup({ channelId, clientMessageId });
    this.context.conversations.leave();
  }

  private async deleteGroup(): Promise<void> {
    const channelId = this.openChannel();
    const clientMessageId = this.context.client.newClientMessageId();
    await this.messages.deleteChannel({ channelId, clientMessageId });
    this.context.conversations.leave();
  }

  private async requestFriend(username: string): Promise<void> {
    const [userId] = await this.findAll([username]);
    const { friend } = await this.sessions.requestFriend({ userId: userId! });
    this.tellFriend(friend!);
  }

  private async acceptFriend(username: string): Promise<void> {
    const [userId] = await this.findAll([username]);
    const { friend } = await this.sessions.acceptFriend({ userId: userId! });
    this.tellFriend(friend!);
  }

  private tellFriend({ user, state }: Friend): void {
    const name = harmless(user!.username);
    const isFriend = state === FriendState.FRIENDS;
    this.context.terminal.tell(isFriend ? `You and ${name} are friends.` : `You asked ${name}.`);
  }

  private async listFriends(): Promise<void> {
    const { client, people, terminal } = this.context;
    const { friends } = await this.sessions.listFriends({ pageSize: presencesMax });
    if (friends.length === 0) terminal.tell("No friends yet: /friend NAME asks somebody.");
    const ids = friends.map(({ user }) => user!.userId);
    const presences = ids.length > 0 ? await client.presence(ids).catch(() => []) : [];
    const known = new Map(presences.map((presence) => [presence.userId, presence]));
    for (const { user, state } of friends) {
      people.know(user!);
      const presence = known.get(user!.userId);
      const about = {
        [FriendState.UNSPECIFIED]: "",
        [FriendState.REQUESTED]: "asked, no answer yet",
        [FriendState.INVITED]: `wants to be friends: /accept ${harmless(user!.username)}`,
        [FriendState.FRIENDS]: presence ? presenceText(presence) : "",
      }[state];
      terminal.tell(`  ${harmless(user!.username)} · ${about}`);
    }
  }

  private help(): void {
    const { terminal } = this.context;
    const rows = [...Object.values(this.table), { usage: "/quit", help: "or Ctrl-C" }];
    for (const { usage, help } of rows) terminal.tell(`${usage.padEnd(18)} ${help}`);
    terminal.tell("Anything else is sent to the open conversation; //text begins with a slash.");
  }

  private openChannel(): string {
    const { channelId } = this.context.conversations;
    if (!channelId) throw new CommandError("Open a conversation first: /open NAME");
    return channelId;
  }

  private async findAll(usernames: string[]): Promise<string[]> {
    const users = await Promise.all(usernames.map((name) => this.context.people.find(name)));
    return users.map((user, i) => {
      if (!user) throw new CommandError(`There is nobody called ${usernames[i]}.`);
      return user.userId;
    });
  }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function required(argument: string | undefined, usage: string): string {
  if (!argument) throw new CommandError(`How it is used: ${usage}`);
  return argument;
}

/** Words, and what stands in double quotes as one. */
function splitArguments(text: string): string[] {
  return [...text.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word!);
}
