/** What the users of a run do with their devices. */
import type { DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { MemberRole } from "../../gen/parley/message/v1/message_pb.js";
import { MessageOrder, MessageService } from "../../gen/parley/message/v1/message_service_pb.js";
import { Code, RpcError } from "../../mesh/errors.ts";
import { groupChannelId } from "../../services/message/channel/changes.ts";
import type { Attempt } from "./attempts.ts";
import type { Device } from "./device.ts";
import { startMs } from "./simulated-process.ts";

const { method } = MessageService;

/** How likely a device does what. */
const weights = {
  send: 40,
  resend: 4,
  browse: 12,
  lookAround: 3,
  revise: 10,
  createDirect: 3,
  createGroup: 2,
  addMembers: 6,
  removeMember: 4,
  joinGroup: 4,
  leaveGroup: 2,
  banUser: 1,
  unbanUser: 2,
  setMemberRole: 1,
  reinstall: 1,
};

/** Codes after which a client does not know more than before. */
const openCodes: readonly Code[] = [
  Code.UNAVAILABLE,
  Code.DEADLINE_EXCEEDED,
  Code.RESOURCE_EXHAUSTED,
];

/** The user of one device. */
export class Workload {
  isDone = false;
  private readonly device: Device;
  private readonly sent: Attempt[] = [];
  private clientIds = 0;

  constructor(device: Device) {
    this.device = device;
  }

  /** Does so many things, one after the other. */
  async run(actions: number): Promise<void> {
    const { time, random, devices } = this.device.world;
    if (this.device === devices[0]) await this.createGroup();
    for (let i = 0; i < actions; i++) {
      await time.sleep(random.unit() * random.pick([10, 100, 1_000]));
      try {
        await this[random.weighted(weights)]();
      } catch (error) {
        if (!(error instanceof RpcError)) throw error;
      }
    }
    this.isDone = true;
  }

  private async send(): Promise<void> {
    const { random } = this.device.world;
    const clientMessageId = this.newClientId();
    const size = random.chance(0.01) ? 17_000 : 1;
    const text = `${this.device.deviceId}/${this.sent.length}`.padEnd(size, ".");
    const attempt = this.attempt(this.anyChannel(), clientMessageId, text);
    this.sent.push(attempt);
    await this.trySend(attempt, random.chance(0.1));
  }

  /** Sends something again that was sent before, perhaps long ago. */
  private async resend(): Promise<void> {
    if (this.sent.length === 0) return;
    await this.trySend(this.device.world.random.pick(this.sent), false);
  }

  private async trySend(attempt: Attempt, givesUp: boolean): Promise<void> {
    const { world } = this.device;
    const isFirst = attempt.tries === 0;
    const { channelId, clientMessageId, text } = attempt;
    const request = { channelId, clientMessageId, text: text! };
    const place = await this.change(method.sendMessage, request, channelId, attempt, givesUp);
    if (!place) return;
    world.note(
      `${this.device.deviceId} knows that ${channelId} #${place.channelSequence} is stored`,
    );
    world.attempts.acknowledge(attempt, place, isFirst);
  }

  /** Edits or deletes something of its own, or reacts to anything that it has. */
  private async revise(): Promise<void> {
    const { random } = this.device.world;
    const texts = [...this.device.views.values()].flatMap(({ items }) =>
      [...items.values()].filter(({ body }) => body.case === "text"),
    );
    if (texts.length === 0) return;
    const { channelId, messageId, senderId } = random.pick(texts);
    const clientMessageId = this.newClientId();
    const request = { channelId, messageId, clientMessageId };
    const attempt = this.attempt(channelId, clientMessageId);
    const givesUp = random.chance(0.1);
    const kind = random.pick(["edit", "delete", "add", "add", "remove"] as const);
    if (senderId === this.device.userId && kind === "edit") {
      const size = random.chance(0.05) ? 17_000 : 1;
      const text = `edit ${clientMessageId.slice(-6)}`.padEnd(size, ".");
      await this.change(method.editMessage, { ...request, text }, channelId, attempt, givesUp);
    } else if (senderId === this.device.userId && kind === "delete") {
      await this.change(method.deleteMessage, request, channelId, attempt, givesUp);
    } else {
      const emoji = random.pick(["👍", "🎉"]);
      const rpc = kind === "remove" ? method.removeReaction : method.addReaction;
      await this.change(rpc, { ...request, emoji }, channelId, attempt, givesUp);
    }
  }

  private async browse(): Promise<void> {
    const { history, random } = this.device.world;
    const order = random.pick([MessageOrder.OLDEST_FIRST, MessageOrder.NEWEST_FIRST]);
    const walk = { channelId: this.anyChannel(), order, pageSize: random.between(1, 12) };
    for await (const _page of history.walk(walk, this.device));
  }

  private async lookAround(): Promise<void> {
    const { history, random } = this.device.world;
    const known = [...this.device.views.values()].filter(({ items }) => items.size > 0);
    if (known.length === 0) return;
    const view = random.pick(known);
    const { messageId } = random.pick([...view.items.values()]);
    await history.around(view.channelId, messageId, random.between(1, 12), this.device);
  }

  private async createDirect(): Promise<void> {
    const { world, userId } = this.device;
    const otherId = world.random.pick(world.userIds);
    if (otherId === userId) return;
    const { channel } = await world.network.call(
      method.createDirectChannel,
      { userId: otherId },
      otherId,
      this.device,
    );
    if (!world.truth.channels.has(channel!.channelId)) {
      world.blame("acknowledged-once", `${channel!.channelId} was created, but is not stored`);
    }
    world.channelIds.add(channel!.channelId);
  }

  private async createGroup(): Promise<void> {
    const { world, userId } = this.device;
    if (world.channelIds.size >= world.channelsMax) return;
    const clientMessageId = this.newClientId();
    const channelId = groupChannelId(userId, clientMessageId);
    const { random } = world;
    const request = {
      clientMessageId,
      name: "group",
      userIds: world.userIds.filter((other) => other !== userId && random.chance(0.5)),
      public: random.chance(0.7),
      historyBeforeJoining: random.chance(0.4),
    };
    world.channelIds.add(channelId);
    await this.change(
      method.createGroup,
      request,
      clientMessageId,
      this.attempt(channelId, clientMessageId),
      false,
    );
  }

  private async reinstall(): Promise<void> {
    this.device.forget();
  }

  private addMembers(): Promise<unknown> {
    const { random, userIds } = this.device.world;
    return this.changeMembers(method.addMembers, { userIds: [random.pick(userIds)] });
  }

  private removeMember(): Promise<unknown> {
    const { random, userIds } = this.device.world;
    return this.changeMembers(method.removeMember, { userId: random.pick(userIds) });
  }

  private banUser(): Promise<unknown> {
    const { random, userIds } = this.device.world;
    return this.changeMembers(method.banUser, { userId: random.pick(userIds) });
  }

  private unbanUser(): Promise<unknown> {
    const { random, userIds } = this.device.world;
    return this.changeMembers(method.unbanUser, { userId: random.pick(userIds) });
  }

  private setMemberRole(): Promise<unknown> {
    const { random, userIds } = this.device.world;
    const role = random.pick([MemberRole.MEMBER, MemberRole.ADMIN]);
    return this.changeMembers(method.setMemberRole, { userId: random.pick(userIds), role });
  }

  private joinGroup(): Promise<unknown> {
    return this.changeMembers(method.joinGroup, {});
  }

  private leaveGroup(): Promise<unknown> {
    return this.changeMembers(method.leaveGroup, {});
  }

  private changeMembers<M extends DescMethodUnary>(method: M, init: object): Promise<unknown> {
    const channelId = this.anyChannel();
    const clientMessageId = this.newClientId();
    const request = { ...init, channelId, clientMessageId } as unknown as MessageInitShape<
      M["input"]
    >;
    return this.change(
      method,
      request,
      channelId,
      this.attempt(channelId, clientMessageId),
      this.device.world.random.chance(0.1),
    );
  }

  /** Tries until there is an answer that decides, or gives up after the first that does not. */
  private async change<M extends DescMethodUnary>(
    method: M,
    request: MessageInitShape<M["input"]>,
    routeBy: string,
    attempt: Attempt,
    givesUp: boolean,
  ): Promise<MessageShape<M["output"]> | undefined> {
    const { world } = this.device;
    const mustBeLet = this.maySurely(attempt.channelId);
    for (;;) {
      attempt.tries++;
      try {
        return await world.network.call(method, request, routeBy, this.device);
      } catch (error) {
        if (!(error instanceof RpcError)) throw error;
        if (!openCodes.includes(error.code)) {
          attempt.refused = error.reason;
          if (mustBeLet() && (error.reason === "NOT_A_MEMBER" || error.reason === "NOT_PUBLIC")) {
            const who = `${this.device.userId} was refused ${method.name}`;
            world.blame("right-decisions", `${who} in ${attempt.channelId}: ${error.reason}`);
          }
          return undefined;
        }
      }
      if (givesUp) return undefined;
      await world.time.sleep(world.random.unit() * 1_000);
    }
  }

  /** Whether the user is and stays a member from now on, and may join. */
  private maySurely(channelId: string): () => boolean {
    const { truth } = this.device.world;
    const channel = truth.channels.get(channelId);
    const changes = channel?.changesOf(this.device.userId);
    const isIn = channel?.isMember(this.device.userId) ?? false;
    return () => isIn && changes === channel?.changesOf(this.device.userId);
  }

  private attempt(channelId: string, clientMessageId: string, text?: string): Attempt {
    const { userId, deviceId } = this.device;
    const senderId = userId;
    return this.device.world.attempts.add({ senderId, deviceId, channelId, clientMessageId, text });
  }

  private anyChannel(): string {
    const { world } = this.device;
    return world.random.pick([...world.channelIds]);
  }

  /** A UUIDv7 by the device's own clock. */
  private newClientId(): string {
    const { world, skewMs, deviceId } = this.device;
    const timeMs = Math.floor(startMs + world.time.nowMs + skewMs);
    const time = timeMs.toString(16).padStart(12, "0");
    const number = (this.clientIds++).toString(16).padStart(8, "0");
    const device = deviceId.slice(1).padStart(4, "0");
    return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${device}${number}`;
  }
}
