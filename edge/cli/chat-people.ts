import {
  type Channel,
  ChannelKind,
  type Client,
  createClient,
  MessageService,
  type ParleyClient,
  SessionService,
  type User,
} from "../sdk/index.ts";
import { harmless } from "./terminal-text.ts";

/** Ids to one call of ListUsers. */
const idsMax = 100;
/** Members of a group whose names are looked up at once. */
const membersMax = 1_000;

/** Who people are and what conversations are called; looked up once. */
export class People {
  private readonly myId: string;
  private readonly sessions: Client<typeof SessionService>;
  private readonly messages: Client<typeof MessageService>;
  private readonly names = new Map<string, string>();
  private readonly titles = new Map<string, string>();

  constructor(client: ParleyClient) {
    this.myId = client.owner.userId;
    this.sessions = createClient(SessionService, client.transport);
    this.messages = createClient(MessageService, client.transport);
  }

  /** The name of somebody who was looked up, "you" for oneself. */
  readonly nameOf = (userId: string): string => {
    return userId === this.myId ? "you" : (this.names.get(userId) ?? "somebody");
  };

  /** What a conversation that was looked up is called. */
  titleOf(channelId: string): string {
    return this.titles.get(channelId) ?? "a conversation";
  }

  /** Looks up names. */
  async meet(userIds: Iterable<string>): Promise<void> {
    const unknown = new Set(userIds);
    for (const userId of unknown) {
      if (userId === this.myId || this.names.has(userId)) unknown.delete(userId);
    }
    const ids = [...unknown];
    for (let from = 0; from < ids.length; from += idsMax) {
      const { users } = await this.sessions.listUsers({ userIds: ids.slice(from, from + idsMax) });
      for (const user of users) this.know(user);
    }
  }

  /** Finds somebody by name; undefined: there is nobody. @throws ConnectError */
  async find(username: string): Promise<User | undefined> {
    const { users } = await this.sessions.listUsers({ usernames: [username] });
    for (const user of users) this.know(user);
    return users[0];
  }

  /** Takes in what another call told of somebody. */
  know({ userId, username }: User): void {
    this.names.set(userId, harmless(username));
  }

  /** Looks up what a conversation is called: the group's name, or the other one's. */
  async title(channel: Channel | string): Promise<string> {
    const channelId = typeof channel === "string" ? channel : channel.channelId;
    const known = this.titles.get(channelId);
    if (known !== undefined) return known;
    const { kind, name } =
      typeof channel === "string"
        ? (await this.messages.getChannel({ channelId })).channel!
        : channel;
    const title = kind === ChannelKind.GROUP ? harmless(name) : await this.otherName(channelId);
    this.titles.set(channelId, title);
    return title;
  }

  /** The members of a conversation, whose names are known then. */
  async members(channelId: string): Promise<string[]> {
    const { members } = await this.messages.listMembers({ channelId, pageSize: membersMax });
    const userIds = members.map(({ userId }) => userId);
    await this.meet(userIds);
    return userIds;
  }

  private async otherName(channelId: string): Promise<string> {
    const other = (await this.members(channelId)).find((userId) => userId !== this.myId);
    return other === undefined ? "nobody" : this.nameOf(other);
  }
}
