import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Audience } from "../../gen/parley/session/v1/session_pb.js";
import type { Identity } from "../../mesh/rpc.ts";
import { type SessionClient, TestSession } from "./test-session.ts";

const { EVERYBODY, FRIENDS, NOBODY } = Audience;

describe("settings", () => {
  let session: TestSession;
  let device: Identity;
  let own: SessionClient;

  beforeAll(async () => {
    session = await TestSession.open();
  });
  afterAll(() => session.close());
  beforeEach(async () => {
    device = await session.signUp();
    own = session.as(device);
  });

  it("[A1] begin open and are replaced whole", async () => {
    const open = {
      presenceAudience: EVERYBODY,
      lastSeenAudience: EVERYBODY,
      messageAudience: EVERYBODY,
      groupAddAudience: EVERYBODY,
      friendRequestAudience: EVERYBODY,
    };
    const begun = (await own.getSettings({})).settings!;
    expect(begun).toMatchObject({ ...open, pushPreviews: true });
    expect(begun.doNotDisturb).toBeUndefined();
    const settings = {
      presenceAudience: FRIENDS,
      lastSeenAudience: NOBODY,
      messageAudience: FRIENDS,
      groupAddAudience: NOBODY,
      friendRequestAudience: NOBODY,
      pushPreviews: false,
      doNotDisturb: {
        on: true,
        untilTime: { seconds: 1_900_000_000n },
        schedule: [{ weekday: 7, startMinute: 1_320, endMinute: 420 }],
        timeZone: "Europe/Berlin",
      },
    };
    expect((await own.updateSettings({ settings })).settings).toMatchObject(settings);
    expect((await own.getSettings({})).settings).toMatchObject(settings);
    const replaced = (await own.updateSettings({ settings: {} })).settings!;
    expect(replaced).toMatchObject({ ...open, pushPreviews: false });
    expect(replaced.doNotDisturb).toBeUndefined();
  });

  it("[A1] those that a mask names are replaced, and the others stay", async () => {
    const settings = { messageAudience: NOBODY, doNotDisturb: { on: true } };
    const mask = { paths: ["message_audience", "do_not_disturb"] };
    await own.updateSettings({ settings, updateMask: mask });
    const others = { presenceAudience: FRIENDS, pushPreviews: true, groupAddAudience: NOBODY };
    const paths = ["presence_audience", "presence_audience", "do_not_disturb"];
    const changed = await own.updateSettings({ settings: others, updateMask: { paths } });
    expect(changed.settings).toMatchObject({
      presenceAudience: FRIENDS,
      messageAudience: NOBODY,
      groupAddAudience: EVERYBODY,
      pushPreviews: true,
    });
    expect(changed.settings!.doNotDisturb).toBeUndefined();
    expect((await own.getSettings({})).settings).toEqual(changed.settings);
  });

  it("[A2] whoever keeps some of them is told of a change", async () => {
    const before = session.changed.length;
    await own.updateSettings({ settings: {} });
    expect(session.changed.slice(before)).toEqual([device.userId]);
  });

  it.each([
    [{}, "settings: they are missing"],
    [{ settings: { presenceAudience: 7 } }, "settings.presence_audience: 7 is not 0 to 3"],
    [{ settings: { lastSeenAudience: -1 } }, "settings.last_seen_audience: -1 is not 0 to 3"],
    [{ settings: { messageAudience: 4 } }, "settings.message_audience: 4 is not 0 to 3"],
    [{ settings: { groupAddAudience: 4 } }, "settings.group_add_audience: 4 is not 0 to 3"],
    [
      { settings: { friendRequestAudience: FRIENDS } },
      "settings.friend_request_audience: FRIENDS have no need to ask",
    ],
    [
      { settings: {}, updateMask: { paths: ["push_previews", "username"] } },
      'update_mask: "username" is not one of',
    ],
    [{ settings: {}, updateMask: { paths: ["toString"] } }, 'update_mask: "toString" is not'],
    [
      { settings: { doNotDisturb: { timeZone: "Berlin" } } },
      'settings.do_not_disturb.time_zone: "Berlin" is not in the IANA database',
    ],
  ])("[A1] bad ones are refused and change nothing (%#)", async (request, message) => {
    const before = await own.getSettings({});
    const refused = own.updateSettings(request as never);
    await expect(refused).rejects.toMatchObject({ reason: "FIELD_INVALID" });
    await expect(refused).rejects.toThrow(message);
    expect(await own.getSettings({})).toEqual(before);
  });
});
