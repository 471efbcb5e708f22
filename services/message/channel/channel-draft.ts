import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ChannelSnapshot,
  ChannelSnapshotSchema,
  type Item,
  ItemSchema,
  LogEntrySchema,
} from "../../../gen/parley/log/v1/log_pb.js";
import {
  DeliveryMode,
  MessageSchema,
  RevisionSchema,
} from "../../../gen/parley/message/v1/message_pb.js";
import { logSubject, type Stream } from "../../../mesh/streams.ts";
import { copyMembersMax, turnsLive } from "./changes.ts";
import type { Change, Decision, NewMessage, NewRevision } from "./channel-change.ts";
import type { ChannelItem } from "./channel-item.ts";
import { type LoadedChannel, noteAppended } from "./channel-loader.ts";
import { ChannelState } from "./channel-state.ts";
import { type Placement, placementOf } from "./placement.ts";
import type { Found } from "./revision-targets.ts";

/** When a new snapshot is due: see LogEntry.snapshot. */
const snapshotEvery = { entries: 1_000, bytes: 4 * 1024 * 1024 };

/** The entry that a batch becomes. It moves the loaded channel on as it grows. */
export class Draft {
  readonly loaded: LoadedChannel;
  private readonly channelId: string;
  private readonly ids: bigint[];
  private readonly nowMs: number;
  private readonly items: Item[] = [];
  /** Set where this entry carries one. */
  private snapshot: ChannelSnapshot | undefined;
  private maxClientTimeMs: number;
  private traceParent = "";

  constructor(
    channelId: string,
    loaded: LoadedChannel,
    ids: bigint[],
    nowMs: number,
    snapshotAgeMaxMs: number,
  ) {
    this.channelId = channelId;
    this.loaded = loaded;
    this.ids = ids;
    this.nowMs = nowMs;
    this.maxClientTimeMs = loaded.maxClientTimeMs;
    if (loaded.state && snapshotIsDue(loaded, nowMs - snapshotAgeMaxMs)) {
      this.snapshot = loaded.state.snapshot();
    }
  }

  /**
   * Adds what was decided and moves the channel on by it, and the message that it was decided on. A
   * group that it makes larger than a COPY channel can be turns LIVE with the next item.
   */
  add(change: Change, decision: Decision, target: Found): Placement {
    const placement = this.addItem(change, decision, target);
    const { channel } = this.loaded.state!;
    if (channel.mode === DeliveryMode.COPY && channel.memberCount > copyMembersMax) {
      this.addItem({ ...change, clientMessageId: "" }, { body: turnsLive() }, "missing");
    }
    return placement;
  }

  private addItem(change: Change, decision: Decision, target: Found): Placement {
    const item =
      "change" in decision ? this.revision(change, decision) : this.message(change, decision);
    const { loaded } = this;
    loaded.state!.applyItem(item);
    if (item.case === "message" && item.value.body.case === "membershipChange") {
      item.value.body.value.memberCount = loaded.state!.channel.memberCount;
    }
    loaded.recent.add(item);
    if (item.case === "revision") {
      loaded.targets.apply(item.value, typeof target === "object" ? target : undefined);
    }
    this.maxClientTimeMs = Math.max(this.maxClientTimeMs, change.clientTimeMs);
    this.traceParent ||= change.traceParent;
    this.items.push(create(ItemSchema, { item }));
    return placementOf(item);
  }

  private message(change: Change, decision: NewMessage): ChannelItem {
    const { loaded } = this;
    const { body, newChannel, mentionedUserIds = [] } = decision;
    if (!loaded.state) {
      this.snapshot = create(ChannelSnapshotSchema, { channel: newChannel });
      loaded.state = new ChannelState(this.snapshot);
    }
    const { lastMessageId, lastChannelSequence, messageCount } = loaded.state.channel;
    const value = create(MessageSchema, {
      channelId: this.channelId,
      messageId: this.ids[this.items.length]!,
      prevMessageId: lastMessageId,
      channelSequence: lastChannelSequence + 1,
      messageNumber: messageCount + (body.case === "text" ? 1 : 0),
      senderId: change.senderId,
      clientMessageId: change.clientMessageId,
      sendTime: timestampFromMs(this.nowMs),
      replyToMessageId: change.replyToMessageId,
      mentionedUserIds,
      body,
    });
    return { case: "message", value };
  }

  private revision(change: Change, decision: NewRevision): ChannelItem {
    const value = create(RevisionSchema, {
      ...decision,
      channelId: this.channelId,
      channelSequence: this.loaded.state!.channel.lastChannelSequence + 1,
      senderId: change.senderId,
      clientMessageId: change.clientMessageId,
      reviseTime: timestampFromMs(this.nowMs),
    });
    return { case: "revision", value };
  }

  get isEmpty(): boolean {
    return this.items.length === 0;
  }

  async append(log: Stream): Promise<void> {
    if (this.isEmpty) return;
    const { loaded, snapshot } = this;
    const entry = create(LogEntrySchema, {
      channelId: this.channelId,
      items: this.items,
      snapshotLogSequence: snapshot ? 0n : BigInt(loaded.snapshotLogSequence),
      maxClientTimeMs: BigInt(this.maxClientTimeMs),
      traceParent: this.traceParent,
      prevLogSequence: BigInt(loaded.lastLogSequence),
    });
    if (snapshot) {
      entry.snapshot = snapshot;
      entry.snapshotTimeMs = BigInt(this.nowMs);
    }
    const data = toBinary(LogEntrySchema, entry);
    const expectedLastSequence = loaded.lastLogSequence;
    const sequence = await log.append(logSubject(this.channelId), data, { expectedLastSequence });
    noteAppended(loaded, entry, sequence, data.length);
  }
}

function snapshotIsDue(loaded: LoadedChannel, oldestMs: number): boolean {
  const { entries, bytes, timeMs } = loaded.sinceSnapshot;
  return (
    loaded.snapshotLogSequence === 0 ||
    entries >= snapshotEvery.entries ||
    bytes >= snapshotEvery.bytes ||
    timeMs <= oldestMs
  );
}
