/** What must hold once everything has settled. */
import { MemberRole, type Message } from "../../gen/parley/message/v1/message_pb.js";
import { MessageOrder, MessageService } from "../../gen/parley/message/v1/message_service_pb.js";
import type { Device } from "./device.ts";
import { isTrue } from "./history-reader.ts";
import { isMessage, stateOf, type TrueChannel } from "./true-log.ts";
import type { World } from "./world.ts";

/** Checks all that is left to check. */
export async function checkEnd(world: World): Promise<void> {
  const { time, truth, devices } = world;
  if (!world.isQuiet) {
    world.blame("progress", world.whatIsNotQuiet());
    return;
  }
  world.attempts.checkRefusals();
  world.attempts.checkOrder();
  for (const device of devices) checkViews(device);
  for (const channel of truth.channels.values()) await checkStore(channel, world);
  let isOver = false;
  let failure: unknown;
  checkAnswers(world).then(
    () => {
      isOver = true;
    },
    (error) => {
      failure = error;
      isOver = true;
    },
  );
  await time.run(time.nowMs + 120_000, () => isOver);
  if (failure) world.blame("progress", `the final questions were answered with ${failure}`);
  else if (!isOver) world.blame("progress", "the final questions were not answered");
}

function checkViews(device: Device): void {
  const { world, userId, deviceId, views } = device;
  for (const channel of world.truth.channels.values()) {
    const { channelId } = channel;
    const view = views.get(channelId);
    if (!view && !channel.isMember(userId)) continue;
    for (const item of channel.ofStays(userId)) {
      if (view?.items.has(item.channelSequence)) continue;
      const place = `${channelId} #${item.channelSequence}`;
      world.blame("complete-views", `${deviceId} of ${userId} ends without ${place}`);
      return;
    }
    for (const [sequence, item] of view?.items ?? []) {
      if (!channel.mayHaveSeen(userId, sequence)) {
        world.blame("membership-respected", `${deviceId} has ${channelId} #${sequence}`);
      }
      const truth = channel.items[sequence - 1]!;
      const state = isMessage(truth) ? channel.stateFor(truth, userId) : "no message";
      // Who is there no more hears of nothing: the history tells what was deleted since.
      const isCurrent = !channel.isMember(userId) || stateOf(item) === state;
      if (!isTrue(item, channel) || !isCurrent) {
        const what = `${deviceId} has ${channelId} #${sequence} as "${stateOf(item)}"`;
        world.blame("complete-views", `${what}, not "${state}"`);
      }
    }
  }
}

async function checkStore(channel: TrueChannel, world: World): Promise<void> {
  const { rows } = world.store;
  const { channelId, items } = channel;
  const blame = (what: string) => world.blame("store-follows-log", `${channelId}: ${what}`);
  const stored = await rows.listMessages({ channelId, newestFirst: false, limit: 1_000 });
  const messages = stored.map(({ message }) => message);
  if (messages.length !== channel.messages.length) {
    blame(`${messages.length} messages stored, the log has ${channel.messages.length}`);
  }
  for (const row of messages) if (!isTrue(row, channel)) blame(`#${row.channelSequence} is untrue`);
  for (const item of items) {
    if (item.clientMessageId === "") continue;
    const found = await rows.findSend(channelId, item.senderId, item.clientMessageId);
    if (found?.channelSequence !== item.channelSequence)
      blame(`#${item.channelSequence} is not found again`);
  }
  const row = await rows.getChannel(channelId);
  const last = items.at(-1)!;
  const lastMessageId = channel.messages.at(-1)!.messageId;
  if (
    row?.sequence !== last.channelSequence ||
    row.logSequence !== channel.lastLogSequence ||
    row.channel.lastMessageId !== lastMessageId ||
    row.channel.lastChannelSequence !== last.channelSequence ||
    row.channel.memberCount !== channel.members.length
  ) {
    blame(`its row is of #${row?.sequence}, the log ends with #${last.channelSequence}`);
  }
  const members = await rows.listMembers(channelId, "", 1_000);
  if (members.map(({ userId }) => userId).join() !== channel.members.sort().join()) {
    blame(`the members are ${members.map(({ userId }) => userId)}, not ${channel.members}`);
  }
  const owner = members.find(({ role }) => role === MemberRole.OWNER);
  if (channelId.startsWith("g-") && owner && owner.userId !== channel.ownerId) {
    blame(`it is owned by ${owner.userId}, not ${channel.ownerId}`);
  }
  for (const userId of world.userIds) {
    const stays = await rows.listStays(channelId, userId);
    const stored = stays.map((stay) => `${stay.joinedSequence}-${stay.leftSequence || Infinity}`);
    const real = (channel.stays.get(userId) ?? []).map(({ from, to }) => `${from}-${to}`);
    if (stored.join() !== real.join()) blame(`the stays of ${userId} are ${stored}, not ${real}`);
    const ids = await rows.listChannelIds(userId, "", 1_000);
    if (ids.includes(channelId) !== channel.isMember(userId)) {
      blame(`${userId} ${channel.isMember(userId) ? "lacks" : "still has"} it`);
    }
  }
}

/** Asks every instance for every channel, and reads every history. */
async function checkAnswers(world: World): Promise<void> {
  const { truth, devices, cluster, network, history, random } = world;
  const all = cluster.instances;
  for (const channel of truth.channels.values()) {
    const { channelId, items } = channel;
    for (const reader of devices) {
      for (const order of [MessageOrder.OLDEST_FIRST, MessageOrder.NEWEST_FIRST]) {
        if (!channel.stays.has(reader.userId)) continue;
        const walk = { channelId, order, pageSize: random.between(1, 30) };
        for await (const page of history.walk(walk, reader)) {
          checkStates(page.messages, channel, reader.userId, world);
          if (page.degraded) world.blame("complete-history", `${channelId} is degraded at the end`);
        }
      }
    }
    const member = devices.find(({ userId }) => channel.isMember(userId));
    if (!member) continue;
    for (const instance of all) {
      cluster.instances = [instance];
      const { getChannel, listMembers } = MessageService.method;
      const answer = await network.call(getChannel, { channelId }, channelId, member);
      const { members } = await network.call(listMembers, { channelId }, channelId, member);
      const { lastChannelSequence, lastMessageId, memberCount } = answer.channel!;
      const ids = members.map(({ userId }) => userId).join();
      const owners = members.filter(({ role }) => role === MemberRole.OWNER);
      if (
        channelId.startsWith("g-") &&
        owners.map(({ userId }) => userId).join() !== channel.ownerId
      ) {
        const what = `${channelId} is owned by ${owners.map(({ userId }) => userId)}`;
        world.blame("right-decisions", `${what}, not ${channel.ownerId}`);
      }
      if (
        lastChannelSequence !== items.length ||
        lastMessageId !== channel.messages.at(-1)?.messageId ||
        memberCount !== members.length ||
        ids !== channel.members.sort().join()
      ) {
        const told = `#${lastChannelSequence} with ${ids}`;
        world.blame("dense-order", `${instance.process.name} has ${channelId} at ${told}`);
      }
    }
    cluster.instances = all;
  }
}

/** What the history says at the end is what the log comes to. */
function checkStates(
  messages: readonly Message[],
  channel: TrueChannel,
  userId: string,
  world: World,
): void {
  for (const message of messages) {
    const truth = channel.items[message.channelSequence - 1];
    if (!truth || !isMessage(truth)) continue;
    const [shown, state] = [stateOf(message), channel.stateFor(truth, userId)];
    if (shown === state) continue;
    const place = `${channel.channelId} #${message.channelSequence}`;
    world.blame("complete-history", `${userId} reads ${place} as "${shown}", not "${state}"`);
  }
}
