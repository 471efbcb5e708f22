import { fromBinary } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import { EventSchema } from "../../gen/parley/edge/v1/frame_pb.js";
import { Status } from "../../gen/parley/presence/v1/presence_pb.js";
import { Audience } from "../../gen/parley/session/v1/session_pb.js";
import { silentLogger } from "../../mesh/logger.ts";
import { Announcements } from "./announcements.ts";
import type { FriendList } from "./friend-lists.ts";

const listOf = (friendId: string): FriendList => ({
  userIds: [friendId],
  presenceAudience: Audience.FRIENDS,
  lastSeenAudience: Audience.FRIENDS,
  blockedUserIds: [],
});
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("Announcements", () => {
  let told: string[];
  let answers: ((list: FriendList) => void)[];
  let announcements: Announcements;

  beforeEach(() => {
    told = [];
    answers = [];
    const friends = { get: () => new Promise<FriendList>((resolve) => answers.push(resolve)) };
    const publishInbox = (friendId: string, data: Uint8Array) => {
      const { event } = fromBinary(EventSchema, data);
      if (event.case !== "presence") throw new Error("not a presence event");
      told.push(`${event.value.userId} ${Status[event.value.status]} → ${friendId}`);
    };
    announcements = new Announcements({ friends, streams: { publishInbox }, log: silentLogger });
  });

  async function answer(): Promise<void> {
    answers.shift()!(listOf("ben"));
    await settle();
  }

  it("[P3] what friends are told last is the latest, however slowly they are looked up", async () => {
    announcements.add({ userId: "anna", isOnline: true, lastActiveMs: 1 });
    await settle();
    announcements.add({ userId: "anna", isOnline: false, lastActiveMs: 2 });
    announcements.add({ userId: "anna", isOnline: true, lastActiveMs: 3 });
    announcements.add({ userId: "anna", isOnline: false, lastActiveMs: 4 });
    await settle();
    expect(answers).toHaveLength(1);
    await answer();
    await answer();
    expect(told).toEqual(["anna OFFLINE → ben"]);
  });

  it("looks up the friends of 32 users at once, the others in turn", async () => {
    for (let i = 0; i < 40; i++) {
      announcements.add({ userId: `user-${i}`, isOnline: true, lastActiveMs: 1 });
    }
    await settle();
    expect(answers).toHaveLength(32);
    while (answers.length > 0) await answer();
    expect(told).toHaveLength(40);
  });

  it("gives up the oldest of more than 100,000 that wait", async () => {
    for (let i = 0; i < 100_033; i++) {
      announcements.add({ userId: `user-${i}`, isOnline: true, lastActiveMs: 1 });
    }
    await settle();
    for (let i = 0; i < 32; i++) answers[i]!(listOf("x"));
    await settle();
    answers[32]!(listOf("ben"));
    await settle();
    expect(told.at(-1)).toBe("user-33 ONLINE → ben");
  });
});
