/** The Message service: what its methods do, over channels, history and store. */
import { clone, create } from "@bufbuild/protobuf";
import { type Channel, ChannelSchema } from "../../gen/parley/message/v1/message_pb.js";
import {
  MessageService,
  SyncChannelsRequestSchema,
} from "../../gen/parley/message/v1/message_service_pb.js";
import { ChannelUpdateSchema } from "../../gen/parley/message/v1/sync_pb.js";
import { CheckContactsRequest_Kind as Kind } from "../../gen/parley/session/v1/session_service_pb.js";
import { ChannelFeeds } from "../../mesh/channel-feeds.ts";
import type { Clock } from "../../mesh/clock.ts";
import type { ConfigOf } from "../../mesh/config.ts";
import { fieldInvalid } from "../../mesh/errors.ts";
import { InboxFeeds } from "../../mesh/inbox-feed.ts";
import { LogFeeds } from "../../mesh/log-feed.ts";
import type { Logger } from "../../mesh/logger.ts";
import type { Metrics } from "../../mesh/metrics.ts";
import type { Handlers } from "../../mesh/rpc.ts";
import { type Served, served } from "../../mesh/serve.ts";
import type { Running, Streams } from "../../mesh/streams.ts";
import type { Blocks } from "./channel/blocks.ts";
import { createDirect, directChannelId } from "./channel/changes.ts";
import type { Outcome } from "./channel/channel-change.ts";
import { Channels } from "./channel/channels.ts";
import { type LookUpNames, Usernames } from "./channel/usernames.ts";
import { listChangedCursors, listCursors } from "./cursors/cursor-lists.ts";
import { Cursors, readByLog } from "./cursors/cursors.ts";
import { getDeviceCursor, markDelivered } from "./cursors/device-cursors.ts";
import { Typing } from "./cursors/typing.ts";
import { serveFollow } from "./follow/follow.ts";
import { ChannelCalls } from "./groups/channel-calls.ts";
import type { CheckContacts } from "./groups/contacts.ts";
import { groupMethods } from "./groups/group-methods.ts";
import { listMembers } from "./groups/list-members.ts";
import { listMessages } from "./history/history.ts";
import { HistoryReads } from "./history/history-reads.ts";
import { historyOutages } from "./history/history-source.ts";
import { syncChannels } from "./history/sync-channels.ts";
import { messageCodes, orUnavailable } from "./message-codes.ts";
import type { messageConfig } from "./message-config.ts";
import { sendChange, sendDeadlineMs, sendResponse, serveLink } from "./message-link.ts";
import { readIdToken, writeIdToken } from "./page-tokens.ts";
import {
  checkDelivered,
  checkReadMessageId,
  checkUserId,
  pageSize,
  requireIdentity,
} from "./request-fields.ts";
import { revisionMethods } from "./revisions/revision-methods.ts";
import { indexOutage, listMentions, searchMessages } from "./search/search.ts";
import type { SearchIndex } from "./search/search-index.ts";
import type { MessageStore } from "./store/message-store.ts";
import { fanOutWorker, startFanOut } from "./workers/fan-out.ts";
import { indexWorker, startIndexing } from "./workers/indexing.ts";
import { startLogTrimmer } from "./workers/log-trimmer.ts";
import type { ParkingDependencies } from "./workers/parking.ts";
import { persistWorker, startPersist } from "./workers/persist.ts";

/** What the service works on. */
export interface MessageDependencies {
  streams: Streams;
  store: MessageStore;
  /** Who has these names. */
  lookUpNames: LookUpNames;
  index: SearchIndex;
  /** See WriterDependencies.takeIds. */
  takeIds(count: number, greaterThan: bigint): bigint[] | Promise<bigint[]>;
  /** See WriterDependencies.snapshotAgeMaxMs. */
  snapshotAgeMaxMs?: number;
  /** Whom each user has blocked. */
  blocks: Blocks;
  /** See ChannelCallDependencies.checkContacts. */
  checkContacts: CheckContacts;
  /** What tokens of invite links are made with: the same in all instances. */
  inviteSecret: string;
  clock: Clock;
  logger: Logger;
  metrics?: Metrics;
}

/** Makes the service; its workers are started apart, see {@link startMessageWorkers}. */
export function createMessageService(deps: MessageDependencies): Served {
  const { streams, store, clock, logger, metrics } = deps;
  const channels = new Channels({
    ...deps,
    log: streams.log,
    usernames: new Usernames(deps.lookUpNames, clock),
  });
  const calls = new ChannelCalls({ ...deps, channels });
  const reads = new HistoryReads();
  const outages = historyOutages({ logger, clock });
  const history = { channels, log: streams.log, store, reads, ...outages };
  const search = {
    ...{ ...history, index: deps.index, clock },
    indexOutage: indexOutage({ logger, clock }),
  };
  const feeds = new InboxFeeds({ streams, clock, log: logger, ...(metrics && { metrics }) });
  const liveChannels = new ChannelFeeds({
    logs: new LogFeeds({ streams, clock, log: logger, ...(metrics && { metrics }) }),
    async sync({ userId }, positions) {
      const request = create(SyncChannelsRequestSchema, { positions });
      const updates = await reads.run(userId, () => syncChannels(request, userId, history));
      return updates.map((update) => create(ChannelUpdateSchema, update));
    },
    clock,
    log: logger,
  });
  const cursors = new Cursors({ ...history, streams, clock });
  const typing = new Typing({ channels, streams, clock, blocks: deps.blocks });
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
      const refusal = await calls.refusal(Kind.MESSAGE, [request.userId], context);
      const channelId = directChannelId(userId, request.userId);
      const decide = createDirect(channelId, userId, request.userId, clock.nowMs(), refusal);
      // It needs no client id: what is created twice is the same.
      return { channel: await calls.changed({ channelId, decide }, context) };
    },

    ...groupMethods(calls, store, clock, deps.inviteSecret),
    ...revisionMethods(calls, history),

    async getChannel({ channelId }, context) {
      const { userId } = requireIdentity(context);
      const { channel, known } = await lookForReading(channelId, userId);
      return { channel, readState: await cursors.readState(userId, channel, known) };
    },

    async listChannels(request, context) {
      const { userId } = requireIdentity(context);
      const size = pageSize(request.pageSize, 50, 200);
      const after = readIdToken(request.pageToken);
      const ids = await orUnavailable(store.listChannelIds(userId, after, size + 1));
      const found = await Promise.all(ids.slice(0, size).map(listedChannel));
      const listed = found.filter(({ deleteTime }) => !deleteTime);
      return {
        channels: listed,
        readStates: await orUnavailable(cursors.readStates(userId, listed)),
        nextPageToken: ids.length > size ? writeIdToken(ids[size - 1]!) : "",
      };
    },

    async listMembers(request, context) {
      return listMembers(request, context, calls, store);
    },

    async listMessages(request, context) {
      const { userId } = requireIdentity(context);
      return orUnavailable(
        reads.run(userId, () => listMessages(request, userId, history), context.signal),
      );
    },

    async syncChannels(request, context) {
      const { userId } = requireIdentity(context);
      return {
        updates: await reads.run(
          userId,
          () => syncChannels(request, userId, history),
          context.signal,
        ),
      };
    },

    async searchMessages(request, context) {
      const { userId } = requireIdentity(context);
      const { found, ...page } = await orUnavailable(
        reads.run(userId, () => searchMessages(request, userId, search), context.signal),
      );
      return { hits: found, ...page };
    },

    async listMentions(request, context) {
      const { userId } = requireIdentity(context);
      const { found, ...page } = await orUnavailable(
        reads.run(userId, () => listMentions(request, userId, search), context.signal),
      );
      return { messages: found.map(({ message }) => message), ...page };
    },

    async getDeviceCursor(_request, context) {
      const identity = requireIdentity(context);
      return { cursor: await orUnavailable(getDeviceCursor(store, identity)) };
    },

    async markDelivered(request, context) {
      const identity = requireIdentity(context);
      checkDelivered(request.channels);
      await orUnavailable(markDelivered(store, identity, request.cursor));
      const moves = request.channels.map((each) => cursors.markDelivered(identity.userId, each));
      await orUnavailable(Promise.all(moves));
      return {};
    },

    async markRead({ channelId, messageId }, context) {
      const { userId } = requireIdentity(context);
      checkReadMessageId(messageId);
      await orUnavailable(cursors.markRead(userId, channelId, messageId));
      const { channel, known } = await lookForReading(channelId, userId);
      return { readState: await cursors.readState(userId, channel, known) };
    },

    async listCursors(request, context) {
      const { userId } = requireIdentity(context);
      return orUnavailable(listCursors(request, userId, { channels, store }));
    },

    async listChangedCursors(request, context) {
      const { userId } = requireIdentity(context);
      return orUnavailable(listChangedCursors(request, userId, store));
    },

    async sendTyping({ channelId }, context) {
      await typing.send(requireIdentity(context), channelId);
      return {};
    },

    follow: serveFollow({ feeds, channels: liveChannels, store, clock, logger }),

    link: serveLink({ channels, cursors, store, clock, logger }, sendTimeoutMs),
  };
  return served(MessageService, handlers, messageCodes);

  /** A membership is announced before the channel itself gets into the store. */
  async function listedChannel(channelId: string): Promise<Channel> {
    const row = await orUnavailable(store.getChannel(channelId));
    if (row) return row.channel;
    const { state } = await channels.read(channelId);
    if (!state) throw new Error(`the store has a member of ${channelId}, which does not exist`);
    return clone(ChannelSchema, state.channel);
  }

  /** A channel, and what its log says of how far a member has read it. */
  function lookForReading(channelId: string, userId: string) {
    return channels.readAsMember(channelId, userId, (state, recent) => ({
      channel: clone(ChannelSchema, state.channel),
      known: readByLog(state, recent, userId),
    }));
  }
}

/** Starts the workers that carry the log on, and the trimmer behind them. */
export function startMessageWorkers(
  deps: Pick<MessageDependencies, "streams" | "store" | "index" | "clock" | "logger" | "metrics"> &
    Pick<ParkingDependencies, "isOurs">,
  config: ConfigOf<typeof messageConfig>,
): Running {
  const { streams } = deps;
  const parts = {
    ...deps,
    log: streams.log,
    inbox: streams.inbox,
    publishLog: streams.publishLog.bind(streams),
    deadLetters: streams.deadLetters,
  };
  const persist = startPersist(parts);
  const fanOut = startFanOut(parts);
  const indexing = startIndexing(parts);
  // What the index lacks is in the store: see rebuildSearch.
  const pressedWorkers = [persistWorker, fanOutWorker];
  const workers = [...pressedWorkers, indexWorker];
  const trimmer = startLogTrimmer({ ...parts, workers, pressedWorkers }, config);
  return {
    async stop() {
      await Promise.all([persist.stop(), fanOut.stop(), indexing.stop(), trimmer.stop()]);
    },
  };
}
