/** The Message service: what its methods do, over channels, history and store. */
import { clone } from "@bufbuild/protobuf";
import { type Channel, ChannelSchema } from "../../gen/parley/message/v1/message_pb.js";
import { MessageService } from "../../gen/parley/message/v1/message_service_pb.js";
import type { Clock } from "../../mesh/clock.ts";
import type { ConfigOf } from "../../mesh/config.ts";
import { fieldInvalid } from "../../mesh/errors.ts";
import { InboxFeeds } from "../../mesh/inbox-feed.ts";
import type { Logger } from "../../mesh/logger.ts";
import type { Metrics } from "../../mesh/metrics.ts";
import type { CallContext, Handlers, Identity } from "../../mesh/rpc.ts";
import { type Served, served } from "../../mesh/serve.ts";
import type { Running, Streams } from "../../mesh/streams.ts";
import {
  addMembers,
  createDirect,
  createGroup,
  type Decide,
  directChannelId,
  groupChannelId,
  joinGroup,
  leaveGroup,
  removeMember,
} from "./changes.ts";
import type { Change, Outcome } from "./channel-change.ts";
import type { ChannelState } from "./channel-state.ts";
import { Channels } from "./channels.ts";
import { getDeviceCursor, markDelivered } from "./device-cursors.ts";
import { fanOutWorker, startFanOut } from "./fan-out.ts";
import { serveFollow } from "./follow.ts";
import { listMessages } from "./history.ts";
import { messageCodes, notAMember, orUnavailable, refuse } from "./message-codes.ts";
import type { messageConfig } from "./message-config.ts";
import { sendChange, sendDeadlineMs, sendResponse, serveLink } from "./message-link.ts";
import type { MessageStore } from "./message-store.ts";
import type { ParkingDependencies } from "./parking.ts";
import { persistWorker, startPersist } from "./persist.ts";
import {
  checkChannelId,
  checkClientMessageId,
  checkGroupName,
  checkUserId,
  checkUserIds,
  pageSize,
  requireIdentity,
} from "./request-fields.ts";
import { syncChannels } from "./sync-channels.ts";

/** What the service works on. */
export interface MessageDependencies {
  streams: Streams;
  store: MessageStore;
  /** See WriterDependencies.takeIds. */
  takeIds(count: number, greaterThan: bigint): bigint[] | Promise<bigint[]>;
  /** See WriterDependencies.snapshotAgeMaxMs. */
  snapshotAgeMaxMs?: number;
  /** The users of these that exist. */
  existingUsers(userIds: readonly string[], caller: Identity): Promise<ReadonlySet<string>>;
  clock: Clock;
  logger: Logger;
  metrics?: Metrics;
}

/** About what a change of members takes in an entry. */
const changeBytes = 200;
const memberBytes = 40;

/** Makes the service; its workers are started apart, see {@link startMessageWorkers}. */
export function createMessageService(deps: MessageDependencies): Served {
  const { streams, store, clock, logger, metrics } = deps;
  const channels = new Channels({ ...deps, log: streams.log });
  const history = { channels, log: streams.log, store, logger };
  const feeds = new InboxFeeds({ streams, clock, log: logger, ...(metrics && { metrics }) });
  const sendTimeoutMs = sendDeadlineMs(MessageService);

  const handlers: Handlers<typeof MessageService> = {
    async sendMessage(request, context) {
      const { userId } = requireIdentity(context);
      const { traceParent } = context;
      const outcome = await new Promise<Outcome>((resolve, reject) => {
        const done = (result: Outcome | Error) =>
          result instanceof Error ? reject(result) : resolve(result);
        const nowMs = clock.nowMs();
        const change = sendChange(request, userId, traceParent, nowMs, sendTimeoutMs, done);
        channels.submit(request.channelId, change);
      });
      return sendResponse(outcome);
    },

    async createDirectChannel(request, context) {
      const { userId } = requireIdentity(context);
      checkUserId("user_id", request.userId);
      if (request.userId === userId) throw fieldInvalid("user_id", "is the caller");
      await requireUsers([request.userId], context);
      const channelId = directChannelId(userId, request.userId);
      const decide = createDirect(channelId, userId, request.userId, clock.nowMs());
      return { channel: await change(channelId, "", 2, decide, context) };
    },

    async createGroup(request, context) {
      const { userId } = requireIdentity(context);
      const { clientMessageId, userIds, name, historyBeforeJoining } = request;
      checkClientMessageId(clientMessageId, clock.nowMs());
      checkGroupName(name);
      checkUserIds("user_ids", userIds, 0, 99);
      await requireUsers(userIds, context);
      const channelId = groupChannelId(userId, clientMessageId);
      const settings = { name, public: request.public, historyBeforeJoining };
      const decide = createGroup(channelId, userId, settings, userIds, clock.nowMs());
      return { channel: await change(channelId, clientMessageId, userIds.length, decide, context) };
    },

    async addMembers({ channelId, clientMessageId, userIds }, context) {
      const { userId } = requireIdentity(context);
      checkUserIds("user_ids", userIds, 1, 99);
      await requireUsers(userIds, context);
      const decide = addMembers(channelId, userId, userIds);
      return { channel: await change(channelId, clientMessageId, userIds.length, decide, context) };
    },

    async removeMember(request, context) {
      const { userId } = requireIdentity(context);
      const { channelId, clientMessageId } = request;
      checkUserId("user_id", request.userId);
      const decide = removeMember(channelId, userId, request.userId);
      return { channel: await change(channelId, clientMessageId, 1, decide, context) };
    },

    async joinGroup({ channelId, clientMessageId }, context) {
      const { userId } = requireIdentity(context);
      const decide = joinGroup(channelId, userId);
      return { channel: await change(channelId, clientMessageId, 1, decide, context) };
    },

    async leaveGroup({ channelId, clientMessageId }, context) {
      const { userId } = requireIdentity(context);
      await change(channelId, clientMessageId, 1, leaveGroup(channelId, userId), context);
      return {};
    },

    async getChannel({ channelId }, context) {
      const look = ({ channel }: ChannelState) => clone(ChannelSchema, channel);
      return { channel: await readAsMember(channelId, context, look) };
    },

    async listChannels(request, context) {
      const { userId } = requireIdentity(context);
      const size = pageSize(request.pageSize, 50, 200);
      const after = readIdToken(request.pageToken);
      const ids = await orUnavailable(store.listChannelIds(userId, after, size + 1));
      return {
        channels: await Promise.all(ids.slice(0, size).map(listedChannel)),
        nextPageToken: ids.length > size ? writeIdToken(ids[size - 1]!) : "",
      };
    },

    async listMembers(request, context) {
      const size = pageSize(request.pageSize, 100, 1_000);
      const after = readIdToken(request.pageToken);
      const look = (state: ChannelState) => [...state.members.values()];
      const members = (await readAsMember(request.channelId, context, look))
        .filter(({ userId }) => userId > after)
        .sort((a, b) => (a.userId < b.userId ? -1 : 1));
      const more = members.length > size;
      return {
        members: members.slice(0, size),
        nextPageToken: more ? writeIdToken(members[size - 1]!.userId) : "",
      };
    },

    async listMessages(request, context) {
      return orUnavailable(listMessages(request, requireIdentity(context).userId, history));
    },

    async syncChannels(request, context) {
      return { updates: await syncChannels(request, requireIdentity(context).userId, history) };
    },

    async getDeviceCursor(_request, context) {
      const identity = requireIdentity(context);
      return { cursor: await orUnavailable(getDeviceCursor(store, identity)) };
    },

    async markDelivered({ cursor }, context) {
      await orUnavailable(markDelivered(store, requireIdentity(context), cursor));
      return {};
    },

    follow: serveFollow({ feeds, store, clock, logger }),

    link: serveLink(channels, store, clock, logger, sendTimeoutMs),
  };
  return served(MessageService, handlers, messageCodes);

  /** Makes a change and answers with the channel as it is then. */
  async function change(
    channelId: string,
    clientMessageId: string,
    users: number,
    decide: Decide,
    context: CallContext,
  ): Promise<Channel> {
    checkChannelId(channelId);
    const nowMs = clock.nowMs();
    const wanted: Omit<Change, "done"> = {
      senderId: requireIdentity(context).userId,
      clientMessageId,
      clientTimeMs: clientMessageId === "" ? 0 : checkClientMessageId(clientMessageId, nowMs),
      replyToMessageId: 0n,
      traceParent: context.traceParent,
      bytes: changeBytes + users * memberBytes,
      deadlineMs: context.deadlineMs,
      // A direct channel needs no client id: what is created twice is the same.
      decide,
    };
    const { state } = await channels.change(channelId, wanted);
    return clone(ChannelSchema, state.channel);
  }

  /** A membership is announced before the channel itself gets into the store. */
  async function listedChannel(channelId: string): Promise<Channel> {
    const row = await orUnavailable(store.getChannel(channelId));
    if (row) return row.channel;
    const { state } = await channels.read(channelId);
    if (!state) throw new Error(`the store has a member of ${channelId}, which does not exist`);
    return clone(ChannelSchema, state.channel);
  }

  async function readAsMember<T>(
    channelId: string,
    context: CallContext,
    look: (state: ChannelState) => T,
  ): Promise<T> {
    const { userId } = requireIdentity(context);
    checkChannelId(channelId);
    const { state } = await channels.read(channelId);
    if (!state?.members.has(userId)) throw notAMember(channelId);
    return look(state);
  }

  async function requireUsers(userIds: readonly string[], context: CallContext): Promise<void> {
    if (userIds.length === 0) return;
    const existing = await deps.existingUsers(userIds, requireIdentity(context));
    const missing = userIds.find((userId) => !existing.has(userId));
    if (missing) throw refuse("USER_NOT_FOUND", `user ${missing} does not exist`);
  }
}

/** Starts the workers that carry the log on, and the trimmer behind them. */
export function startMessageWorkers(
  deps: Pick<MessageDependencies, "streams" | "store" | "clock" | "logger" | "metrics"> &
    Pick<ParkingDependencies, "isOurs">,
  config: ConfigOf<typeof messageConfig>,
): Running {
  const { streams, clock, logger } = deps;
  const parts = {
    ...deps,
    log: streams.log,
    inbox: streams.inbox,
    deadLetters: streams.deadLetters,
  };
  const persist = startPersist(parts);
  const fanOut = startFanOut(parts);
  const workers = [persistWorker, fanOutWorker];
  let stopped = false;
  let trimming = Promise.resolve();
  let timer = clock.setTimer(config.trimIntervalMs, startTrimming);
  return {
    async stop() {
      stopped = true;
      timer.cancel();
      await Promise.all([persist.stop(), fanOut.stop(), trimming]);
    },
  };

  function startTrimming(): void {
    trimming = trim().finally(() => {
      if (!stopped) timer = clock.setTimer(config.trimIntervalMs, startTrimming);
    });
  }

  /** A call removes a limited number; until there are none more, so that a busy log is kept up with. */
  async function trim(): Promise<void> {
    try {
      for (let removed = 1; removed > 0 && !stopped; ) {
        removed = await streams.log.trim({ olderThanMs: config.logRetentionMs, workers });
        if (removed > 0) logger.info({ event: "log_trimmed", removed });
      }
    } catch (err) {
      logger.warn({ event: "log_not_trimmed", err });
    }
  }
}

function writeIdToken(id: string): string {
  return Buffer.from(id).toString("base64url");
}

function readIdToken(token: string): string {
  const id = Buffer.from(token.slice(0, 128), "base64url").toString();
  if (!/^[a-z0-9-]*$/.test(id)) throw fieldInvalid("page_token", "is not from this method");
  return id;
}
