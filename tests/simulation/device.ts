/**
 * A client as the contract tells it to be: it keeps what its inbox brings, skips repetitions,
 * reads from the history what it can tell that it lacks, and rebuilds after a reset.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { InboxEntrySchema } from "../../gen/parley/log/v1/log_pb.js";
import type { Message } from "../../gen/parley/message/v1/message_pb.js";
import { MessageOrder, MessageService } from "../../gen/parley/message/v1/message_service_pb.js";
import { RpcError } from "../../mesh/errors.ts";
import type { Identity } from "../../mesh/rpc.ts";
import type { FeedDelivery, FeedPosition, ResetReason } from "../../mesh/subject-feed-following.ts";
import type { Attempts } from "./attempts.ts";
import type { Cluster } from "./cluster.ts";
import { DeviceView, type Gap } from "./device-view.ts";
import type { RunFaults } from "./faults.ts";
import { type DegradedRanges, type HistoryReader, isIn, isTrue } from "./history-reader.ts";
import type { Network } from "./network.ts";
import type { Random } from "./random.ts";
import type { TrueInbox } from "./true-inbox.ts";
import { type Blame, isMessage, type TrueLog } from "./true-log.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** The pause after a failure. */
const retryMs = 700;

/** What a device and its workload know of the run. */
export interface DeviceWorld {
  readonly random: Random;
  readonly time: VirtualTime;
  readonly faults: RunFaults;
  readonly cluster: Cluster;
  readonly network: Network;
  readonly truth: TrueLog;
  readonly attempts: Attempts;
  readonly history: HistoryReader;
  readonly userIds: readonly string[];
  readonly devices: readonly Device[];
  readonly channelIds: Set<string>;
  readonly channelsMax: number;
  readonly isSettling: boolean;
  readonly blame: Blame;
  note(text: string): void;
  inboxOf(userId: string): TrueInbox;
}

/** One device of a user. */
export class Device implements Identity {
  readonly userId: string;
  readonly deviceId: string;
  readonly world: DeviceWorld;
  /** How far its wall clock is ahead of the true time. */
  readonly skewMs: number;
  readonly views = new Map<string, DeviceView>();
  position: FeedPosition = { epoch: "", sequence: 0 };
  /** Whether it has everything, as far as its edge knows. */
  isCaughtUp = false;
  /** How often it was told to rebuild, and for how many of these it has listed its channels. */
  resets = 0;
  private listings = 0;
  /** The inbox entry that it was reset to, the latest time. */
  private resetTo = 0;
  /** Channels that a list lacked because the store faltered. */
  private readonly unlisted = new Set<string>();
  /** Called when it has lost what it had. */
  onForgotten: () => void = () => {};

  constructor(world: DeviceWorld, userId: string, deviceId: string) {
    this.world = world;
    this.userId = userId;
    this.deviceId = deviceId;
    const dayMs = 24 * 3_600_000;
    this.skewMs = world.random.pick([0, 0, -dayMs, -3_600_000, 30_000, 100_000]);
  }

  /** Whether nothing is left to be done. */
  get isSettled(): boolean {
    if (!this.isCaughtUp || this.listings < this.resets) return false;
    return [...this.views.values()].every(({ gaps, repairing }) => !repairing && gaps.length === 0);
  }

  /** The next inbox entry. */
  deliver({ sequence, prevSequence, data }: FeedDelivery): void {
    const { world, userId } = this;
    if (prevSequence !== this.position.sequence) {
      world.blame(
        "no-silent-gap",
        `${this.deviceId} got entry ${sequence} after ${prevSequence}, but had ${this.position.sequence}`,
      );
    }
    const before = world.inboxOf(userId).before(sequence);
    if (before !== prevSequence) {
      world.blame(
        "no-silent-gap",
        `${this.deviceId} got entry ${sequence} after ${prevSequence}; ${before} lies between`,
      );
    }
    this.position = { epoch: this.position.epoch, sequence };
    for (const { item } of fromBinary(InboxEntrySchema, data).items) {
      if (item.case === undefined) continue;
      const { channelId, channelSequence } = item.value;
      if (!world.truth.channels.get(channelId)?.inStay(userId, channelSequence)) {
        world.blame(
          "membership-respected",
          `${this.deviceId} got ${channelId} #${channelSequence}`,
        );
      }
      world.note(`${this.deviceId} gets ${channelId} #${channelSequence}`);
      if (item.case === "message") this.take(item.value);
      else this.view(channelId).revise(item.value, userId);
    }
    this.repairAll();
  }

  /** It goes on from here; what came before is to be had from the history. */
  reset(reason: ResetReason, position: FeedPosition): void {
    this.world.note(`${this.deviceId} is reset to ${position.sequence}: ${reason}`);
    this.position = position;
    this.resetTo = position.sequence;
    this.resets++;
    for (const view of this.views.values()) view.flagRest();
    void this.list(this.resets, false);
    this.repairAll();
  }

  /** Loses all that it has, as on a new installation. It notices when it connects again. */
  forget(): void {
    this.views.clear();
    this.position = { epoch: "", sequence: 0 };
    this.isCaughtUp = false;
    this.onForgotten();
  }

  /** Learns of all channels and reads what it lacks of them. */
  private async list(resets: number, isCheck: boolean): Promise<void> {
    const mustBeListed = this.present();
    const listed = new Set<string>();
    let pageToken = "";
    for (;;) {
      try {
        const { method } = MessageService;
        const page = await this.world.network.call(
          method.listChannels,
          { pageSize: this.world.random.between(1, 10), pageToken },
          this.userId,
          this,
        );
        for (const channel of page.channels) {
          listed.add(channel.channelId);
          if (!isCheck || this.unlisted.has(channel.channelId)) {
            this.view(channel.channelId).flagRest();
          }
        }
        pageToken = page.nextPageToken;
        if (pageToken === "") break;
      } catch (error) {
        if (!(error instanceof RpcError)) throw error;
        await this.world.time.sleep(retryMs);
      }
    }
    for (const channelId of mustBeListed()) {
      if (listed.has(channelId)) continue;
      this.unlisted.add(channelId);
      if (this.world.faults.storeFalters && !isCheck) continue;
      this.world.blame("complete-views", `${this.deviceId} is not shown its ${channelId}`);
    }
    this.listings = Math.max(this.listings, resets);
    this.repairAll();
  }

  /**
   * The channels that the user is in, and has been told of by what came before the reset: from now
   * until what is returned is called.
   */
  private present(): () => string[] {
    const { world, userId, resetTo } = this;
    const inbox = world.inboxOf(userId);
    const channels = [...world.truth.channels.values()].filter((channel) => {
      const joined = channel.stays.get(userId)?.at(-1)?.from ?? 0;
      return channel.isMember(userId) && inbox.hasAnnounced(channel.channelId, joined, resetTo);
    });
    const changes = channels.map((channel) => channel.changesOf(userId));
    return () => {
      const still = channels.filter((channel, i) => channel.changesOf(userId) === changes[i]);
      return still.map(({ channelId }) => channelId);
    };
  }

  /**
   * Compares its channels with the list once more, as clients do now and then [S5]: what was
   * joined while the store was away may have been missing from the list of a rebuilding device.
   */
  listAgain(): void {
    if (this.resets === 0) return;
    this.resets++;
    void this.list(this.resets, true);
  }

  private view(channelId: string): DeviceView {
    let view = this.views.get(channelId);
    if (!view) {
      view = new DeviceView(channelId);
      this.views.set(channelId, view);
    }
    return view;
  }

  private take(message: Message): void {
    const { world } = this;
    const { channelId, channelSequence } = message;
    const truth = world.truth.channels.get(channelId);
    const place = `${channelId} #${channelSequence}`;
    if (!truth || !isTrue(message, truth)) {
      world.blame("complete-views", `${this.deviceId} got ${place}, which is otherwise`);
    }
    const view = this.view(channelId);
    // What came before its reset comes once more: it would find out that it lacks the rest [S5].
    const { resetTo } = this;
    const isKnown = world.inboxOf(this.userId).hasAnnounced(channelId, channelSequence, resetTo);
    if (view.max === 0 && isKnown) view.flagRest();
    const had = view.take(message);
    if (had && had.messageId !== message.messageId) {
      world.blame("complete-views", `${this.deviceId} got ${place} twice, differently`);
    }
  }

  private repairAll(): void {
    for (const view of this.views.values()) {
      this.checkGaps(view);
      void this.repair(view);
    }
  }

  /** Reads what the device can tell that it lacks. */
  private async repair(view: DeviceView): Promise<void> {
    if (view.repairing) return;
    view.repairing = true;
    for (let gap = view.gaps[0]; gap; gap = view.gaps[0]) {
      try {
        const through = await this.readRevised(view, gap);
        const isRead = through !== undefined && (await this.read(view, gap));
        if (isRead) view.close(gap, through);
        else await this.world.time.sleep(retryMs);
      } catch (error) {
        if (!(error instanceof RpcError)) throw error;
        await this.world.time.sleep(retryMs);
      }
    }
    view.repairing = false;
    if (this.views.get(view.channelId) === view) this.checkGaps(view);
  }

  /**
   * Reads which of its messages were revised since the gap began: up to which item, or undefined
   * where a part can't be read now.
   */
  private async readRevised(view: DeviceView, gap: Gap): Promise<number | undefined> {
    const { network, random } = this.world;
    const { channelId } = view;
    const request = { channelId, afterChannelSequence: gap.from - 1 };
    for (let pageToken = ""; ; ) {
      const page = await network.call(
        MessageService.method.listRevisedMessages,
        { ...request, pageToken, pageSize: random.between(1, 10) },
        channelId,
        this,
      );
      if (page.degraded) return undefined;
      for (const message of page.messages) {
        const isCurrent = this.views.get(channelId) === view;
        if (isCurrent && view.items.has(message.channelSequence)) this.take(message);
      }
      pageToken = page.nextPageToken;
      if (pageToken === "" || page.throughChannelSequence >= gap.to) {
        return page.throughChannelSequence;
      }
    }
  }

  /** Reads on until the gap is closed; false: a part can't be read now. */
  private async read(view: DeviceView, gap: Gap): Promise<boolean> {
    const { history, random } = this.world;
    const walk = {
      channelId: view.channelId,
      order: MessageOrder.OLDEST_FIRST,
      pageSize: random.between(1, 20),
      afterId: view.idBefore(gap),
    };
    const missing: DegradedRanges = [];
    let lastId = walk.afterId;
    for await (const page of history.walk(walk, this)) {
      missing.push(...page.degradedRanges);
      if (missing.length > 0 && isIn(missing, walk.afterId + 1n)) return false;
      // A device that has lost everything meanwhile wants nothing of this.
      if (this.views.get(view.channelId) !== view) return true;
      for (const message of page.messages) this.take(message);
      const last = page.messages.at(-1);
      if (last && last.channelSequence > gap.to) return true;
      if (last) lastId = last.messageId;
    }
    // Where what may be missing lies at the end, nothing that follows it tells of it.
    return !missing.some(({ maxMessageId }) => maxMessageId > lastId);
  }

  /** What is missing below its newest item must be flagged. */
  private checkGaps(view: DeviceView): void {
    const channel = this.world.truth.channels.get(view.channelId);
    for (const item of channel?.items ?? []) {
      const { channelSequence } = item;
      if (channelSequence > view.max) return;
      if (!channel?.inStay(this.userId, channelSequence)) continue;
      const has = isMessage(item)
        ? view.items.has(channelSequence)
        : view.revisions.has(channelSequence) || view.isCovered(channelSequence);
      if (has || view.isFlagged(channelSequence)) continue;
      const place = `${view.channelId} #${channelSequence}`;
      this.world.blame("no-silent-gap", `${this.deviceId} lacks ${place} and can't tell`);
    }
  }
}
