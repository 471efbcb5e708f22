/** What must be true when a run is over: of the logs, of what users read, of what devices have. */
import { expect, vi } from "vitest";
import {
  createClient,
  createHttpTransport,
  errorReason,
  type Message,
  MessageOrder,
  MessageService,
} from "../../edge/sdk/index.ts";
import type { ChannelModel } from "./channel-model.ts";
import type { ModelDevice } from "./device.ts";
import { type Seen, seen } from "./message-model.ts";
import { replay } from "./replay.ts";
import type { Attempt, Installed, Run } from "./run.ts";

/**
 * From the last answer until every device has heard of everything. What is lost live with nothing
 * after it comes to light when tails are compared: everybody's turn comes once in 30 s.
 */
const settleMsMax = 45_000;
/** Of a page of history: small, so that there are several. */
const pageSize = 7;

/**
 * Compares a run with the model.
 * @returns whether a group has turned LIVE in it
 * @throws where they differ
 */
export async function checkRun(run: Run): Promise<boolean> {
  let turnedLive = false;
  const reader = run.devices[0]!.device;
  for (const channel of run.channels) {
    const { channelId } = channel;
    const log = await readHistory(reader, channelId, MessageOrder.OLDEST_FIRST);
    const model = replay(channel, log, run.attempts);
    turnedLive ||= Number.isFinite(model.liveSince);
    await checkChannel(run, channelId, model);
    for (const installed of run.devices) {
      await checkHistory(installed, channelId, model);
      const needed = neededBy(installed, model, run.attempts);
      await vi.waitFor(() => checkView(installed, channelId, model, needed), {
        timeout: settleMsMax,
      });
    }
  }
  for (const { device } of run.installed) expect(device.faults).toEqual([]);
  return turnedLive;
}

/** What the first user reads of the channel itself. */
async function checkChannel(run: Run, channelId: string, model: ChannelModel): Promise<void> {
  const calls = http(run.devices[0]!.device);
  const isFirst = ({ userId }: { userId: string }) => userId === run.userIds[0];
  const { members } = await calls.listMembers({ channelId, pageSize: 1_000 });
  const roles = members.map(({ userId, role }) => [userId, role] as const);
  expect(new Map(roles), `members of ${channelId}`).toEqual(model.members);
  const { name, isPublic, isGroup, seesAll, mayAdd } = model.settings;
  expect((await calls.getChannel({ channelId })).channel).toMatchObject({
    name,
    public: isPublic,
    historyBeforeJoining: seesAll,
    membersMayAdd: mayAdd,
    memberCount: members.length,
    messageCount: model.texts,
    lastChannelSequence: model.lastSequence,
  });
  if (isGroup) {
    const { bans } = await calls.listBans({ channelId });
    expect(new Set(bans.map(({ userId }) => userId))).toEqual(model.bans);
  }
  await vi.waitFor(
    async () => {
      const { cursors } = await calls.listCursors({ channelId, pageSize: 1_000 });
      const read = new Map(cursors.map((cursor) => [cursor.userId, cursor.readMessageId]));
      // In a LIVE channel cursors are one's own affair.
      const isCopy = model.liveSince === Number.POSITIVE_INFINITY;
      for (const { userId } of isCopy ? members : members.filter(isFirst)) {
        const expected = readBy(userId, model, run.attempts);
        expect(read.get(userId) ?? 0n, `${userId} has read ${channelId}`).toBe(expected);
      }
    },
    { timeout: settleMsMax },
  );
}

/** The newest message that a user has marked as read, has made, or has come in with. */
function readBy(userId: string, model: ChannelModel, attempts: readonly Attempt[]): bigint {
  const marked = new Set<bigint>();
  for (const { intent, answer, userId: markedBy } of attempts) {
    const isMark = intent.kind === "read" && answer === "accepted" && markedBy === userId;
    if (isMark) marked.add(intent.messageId);
  }
  const newest = model.messages.findLast(({ message }) => {
    const { messageId, senderId } = message;
    return marked.has(messageId) || senderId === userId || model.begins(userId, message);
  });
  return newest?.message.messageId ?? 0n;
}

/** What a user reads over HTTP, either way, and whether the channel is among the user's. */
async function checkHistory(
  { device, userId }: Installed,
  channelId: string,
  model: ChannelModel,
): Promise<void> {
  const readable = shown(model, userId);
  const isMember = model.members.has(userId);
  const { channels } = await http(device).listChannels({});
  expect(channels.some((channel) => channel.channelId === channelId)).toBe(isMember);
  if (readable.length === 0) {
    const read = readHistory(device, channelId, MessageOrder.OLDEST_FIRST);
    expect(errorReason(await read.catch((error) => error))).toBe("NOT_A_MEMBER");
    return;
  }
  for (const order of [MessageOrder.OLDEST_FIRST, MessageOrder.NEWEST_FIRST]) {
    const history = await readHistory(device, channelId, order);
    if (order === MessageOrder.NEWEST_FIRST) history.reverse();
    expect(history.map(seen), `${channelId} as ${userId} reads it`).toEqual(readable);
  }
}

/** What a user sees of a channel's history. */
function shown(model: ChannelModel, userId: string): Seen[] {
  const maySee = (sequence: number) => model.maySee(userId, sequence);
  return model.readableBy(userId).map((message) => message.shownTo(userId, maySee));
}

/** What came while the user was a member and the device was there for certain. */
function neededBy(
  { userId, rebuilt }: Installed,
  model: ChannelModel,
  attempts: readonly Attempt[],
): Set<bigint> {
  const begun = new Map(attempts.map((attempt) => [attempt.clientMessageId, attempt.begun]));
  const messages = model.ofStays(userId).map(({ message }) => message);
  const news = messages.filter((message) => (begun.get(message.clientMessageId) ?? -1) > rebuilt);
  return new Set(news.map(({ messageId }) => messageId));
}

/** What a device was told of, and what it has at hand. */
function checkView(
  { device, userId }: Installed,
  channelId: string,
  model: ChannelModel,
  needed: ReadonlySet<bigint>,
): void {
  const about = `${device.name} in ${channelId}`;
  const view = device.views.get(channelId);
  const told = [...(view?.messages.values() ?? [])];
  const baselineId = view?.baselineId ?? 0n;
  const messages = model.ofStays(userId).map(({ message }) => message);
  const ofStays = messages.filter((message) => !model.isCountOnly(message, userId));
  const first = ofStays.findIndex(({ messageId }) => view?.messages.has(messageId));
  const missing = ofStays.filter(({ messageId }, i) => {
    const isDue = (first >= 0 && i >= first) || needed.has(messageId);
    return isDue && messageId > baselineId && !view?.messages.has(messageId);
  });
  expect(missing, `${about} lacks`).toEqual([]);
  expect(
    told.filter((message) => !model.mayHaveSeen(userId, message)),
    `${about} has seen`,
  ).toEqual([]);
  // What changed after the user had left may or may not have been told.
  if (!model.members.has(userId)) return;
  const { name, seesAll: historyBeforeJoining } = model.settings;
  expect(device.client.channel(channelId)).toMatchObject({ name, historyBeforeJoining });
  const readable = shown(model, userId);
  const byId = new Map(readable.map((each) => [each.messageId, each]));
  for (const message of told) {
    const expected = byId.get(message.messageId);
    // A setting may have hidden since what was before the user joined.
    if (expected && !view?.stale.has(message.messageId)) {
      expect(seen(message), about).toEqual(expected);
    }
  }
  const recent = device.client.recent(channelId).map(seen);
  const upTo = readable.findIndex(({ messageId }) => messageId === recent.at(-1)?.messageId) + 1;
  const from = upTo - recent.length;
  expect(recent, `${about} at hand`).toEqual(readable.slice(Math.max(from, 0), upTo));
}

async function readHistory(
  device: ModelDevice,
  channelId: string,
  order: MessageOrder,
): Promise<Message[]> {
  const messages: Message[] = [];
  for (let pageToken = ""; ; ) {
    const page = await http(device).listMessages({ channelId, pageToken, pageSize, order });
    expect(page.degraded).toBe(false);
    messages.push(...page.messages);
    if (page.nextPageToken === "") return messages;
    pageToken = page.nextPageToken;
  }
}

function http({ url, signIn }: ModelDevice) {
  const accessToken = async () => signIn.accessToken;
  return createClient(MessageService, createHttpTransport({ url, accessToken }));
}
