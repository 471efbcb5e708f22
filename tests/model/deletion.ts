/** The end of a run: the groups' owner deletes them while everybody writes in them. */
import { expect, vi } from "vitest";
import { DeliveryMode, errorReason } from "../../edge/sdk/index.ts";
import type { ModelDevice } from "./device.ts";
import type { Run } from "./run.ts";

/** From the deletion until every device has heard of it. */
const settleMsMax = 45_000;
/** Of these devices one each loses its connection meanwhile. */
const cutEach = 3;

/**
 * Deletes the groups. In each the deletion must be after all that was accepted, the last that any
 * device hears of it, and the end of reading it.
 * @throws where that is not so
 */
export async function deleteGroups(run: Run): Promise<void> {
  const owner = run.devices[0]!.device;
  for (const { channelId, settings } of run.channels) {
    if (!settings.isGroup) continue;
    const { members } = await owner.calls.listMembers({ channelId, pageSize: 1_000 });
    const memberIds = new Set(members.map(({ userId }) => userId));
    const sends = run.devices.map(({ device }) => send(device, channelId));
    run.devices.forEach(({ device }, i) => {
      if (i % cutEach === 1) device.cut();
    });
    const clientMessageId = owner.client.newClientMessageId();
    const { channel } = await owner.calls.deleteChannel({ channelId, clientMessageId });
    const end = channel!.lastChannelSequence;
    const accepted = (await Promise.all(sends)).filter((sequence) => sequence > 0);
    expect(Math.max(0, ...accepted), `${channelId} ends with #${end}`).toBeLessThan(end);
    // Who was away learns of a LIVE channel only that it is over.
    const needed = channel!.mode === DeliveryMode.COPY ? [...accepted, end] : [];
    for (const { device, userId } of run.devices) {
      const read = device.calls.listMessages({ channelId }).then(() => "", errorReason);
      if (!memberIds.has(userId)) {
        expect(["CHANNEL_DELETED", "NOT_A_MEMBER"]).toContain(await read);
        continue;
      }
      expect(await read).toBe("CHANNEL_DELETED");
      await vi.waitFor(() => checkEnd(device, channelId, end, needed), { timeout: settleMsMax });
    }
  }
  for (const { device } of run.devices) expect(device.faults).toEqual([]);
}

/** @returns the text's place; 0: it came too late, or the user is no member. */
async function send(device: ModelDevice, channelId: string): Promise<number> {
  try {
    return (await device.client.send(channelId, "the end").result).channelSequence;
  } catch (error) {
    expect(["CHANNEL_DELETED", "NOT_A_MEMBER"]).toContain(errorReason(error));
    return 0;
  }
}

function checkEnd(
  { client, name, views }: ModelDevice,
  channelId: string,
  end: number,
  needed: readonly number[],
): void {
  const known = client.knownChannels.find((channel) => channel.channelId === channelId);
  expect(known?.member ?? false, `${name} is in ${channelId}`).toBe(false);
  const messages = [...(views.get(channelId)?.messages.values() ?? [])];
  const told = messages.map(({ channelSequence }) => channelSequence);
  expect(Math.max(0, ...told)).toBeLessThanOrEqual(end);
  expect(
    needed.filter((sequence) => !told.includes(sequence)),
    `${name} lacks of ${channelId}`,
  ).toEqual([]);
}
