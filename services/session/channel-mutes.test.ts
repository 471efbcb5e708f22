import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ApnsEnvironment } from "../../gen/parley/session/v1/session_pb.js";
import type { Identity } from "../../mesh/rpc.ts";
import { TestSession } from "./test-session.ts";

describe("channel mutes", () => {
  let session: TestSession;
  beforeAll(async () => {
    session = await TestSession.open();
  });
  afterAll(() => session.close());

  const mute = (user: Identity, channelId: string, value: object = { mute: forever }) =>
    session.as(user).setChannelMute({ channelId, ...value });
  const forever = { case: "forever", value: true } as const;
  const until = (ms: number) => ({
    mute: { case: "untilTime", value: timestampFromMs(session.clock.nowMs() + ms) } as const,
  });
  const mutesOf = async (user: Identity) => (await session.as(user).listChannelMutes({})).mutes;

  it("[N2] are the caller's own, for a time or for good, and end", async () => {
    const [ann, ben] = [await session.signUp(), await session.signUp()];
    await mute(ann, "g-b");
    await mute(ann, "g-a", until(60_000));
    await mute(ben, "g-c");
    const untilTime = timestampFromMs(session.clock.nowMs() + 60_000);
    expect(await mutesOf(ann)).toMatchObject([
      { channelId: "g-a", untilTime },
      { channelId: "g-b" },
    ]);
    session.clock.advance(60_000);
    expect((await mutesOf(ann)).map(({ channelId }) => channelId)).toEqual(["g-b"]);
    await mute(ann, "g-b", { mute: { case: undefined } });
    expect(await mutesOf(ann)).toEqual([]);
    expect(await mutesOf(ben)).toHaveLength(1);
  });

  it("[N2] are told to push with the targets, of the channels that it asks about", async () => {
    const ann = await session.signUp();
    const value = { deviceToken: "ab".repeat(32), environment: ApnsEnvironment.PRODUCTION };
    await session.as(ann).registerPushToken({ token: { service: { case: "apns", value } } });
    await mute(ann, "g-a");
    await mute(ann, "g-b", until(1_000));
    await mute(ann, "g-d");
    const channelIds = ["g-a", "g-b", "g-c"];
    const muted = async () => {
      const request = { userIds: [ann.userId], channelIds };
      const { recipients } = await session.as().listPushTargets(request);
      return recipients[0]!.mutedChannelIds;
    };
    expect((await muted()).sort()).toEqual(["g-a", "g-b"]);
    session.clock.advance(1_000);
    expect(await muted()).toEqual(["g-a"]);
  });

  it("[N2] [A2] with who has been blocked; who does not want to be disturbed is left out", async () => {
    const [ann, ben] = [await session.signUp(), await session.signUp()];
    const value = { deviceToken: "cd".repeat(32), environment: ApnsEnvironment.PRODUCTION };
    await session.as(ann).registerPushToken({ token: { service: { case: "apns", value } } });
    await session.as(ann).blockUser({ userId: ben.userId });
    const request = { userIds: [ann.userId], senderIds: [ann.userId, ben.userId] };
    const { recipients } = await session.as().listPushTargets(request);
    expect(recipients).toMatchObject([{ blockedSenderIds: [ben.userId] }]);
    const untilTime = timestampFromMs(session.clock.nowMs() + 1_000);
    const doNotDisturb = { on: true, untilTime, timeZone: "Europe/Berlin" };
    await session.as(ann).updateSettings({ settings: { doNotDisturb } });
    expect((await session.as().listPushTargets(request)).recipients).toEqual([]);
    session.clock.advance(1_000);
    expect((await session.as().listPushTargets(request)).recipients).toHaveLength(1);
  });

  it("[N2] are at most 1,000; what is no channel, or has passed, is refused", async () => {
    const ann = await session.signUp();
    await session.sql.query(
      `INSERT INTO channel_mutes (user_id, channel_id)
      SELECT $1, 'g-' || n FROM generate_series(1, 1000) AS n`,
      [ann.userId],
    );
    await mute(ann, "g-1");
    await expect(mute(ann, "g-more")).rejects.toMatchObject({ reason: "TOO_MANY_MUTES" });
    for (const [channelId, value] of [
      ["", {}],
      ["x'--", {}],
      ["g-2", until(0)],
    ] as const) {
      await expect(mute(ann, channelId, value)).rejects.toMatchObject({ reason: "FIELD_INVALID" });
    }
    expect((await mutesOf(ann)).map(({ channelId }) => channelId)).toContain("g-2");
  });
});
