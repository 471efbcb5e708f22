import { create } from "@bufbuild/protobuf";
import { beforeEach, expect, it } from "vitest";
import { Audience } from "../../gen/parley/session/v1/session_pb.js";
import { ListFriendIdsResponseSchema } from "../../gen/parley/session/v1/session_service_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { type FriendLists, friendLists } from "./friend-lists.ts";

/** How many users each call was about. */
let asked: number[];
let lists: FriendLists;
beforeEach(() => {
  asked = [];
  lists = friendLists({
    load: async (userIds) => {
      asked.push(userIds.length);
      const known = userIds.filter((userId) => userId !== "nobody");
      const friends = known.map((userId) => ({
        ...{ userId, friendIds: [`friend of ${userId}`], blockedUserIds: ["zoe"] },
        ...{ presenceAudience: Audience.FRIENDS, lastSeenAudience: Audience.NOBODY },
      }));
      return create(ListFriendIdsResponseSchema, { friends });
    },
    maxAgeMs: 30_000,
    clock: new ManualClock(),
  });
});

it("[P3] asks Session of 20 users at a time", async () => {
  const userIds = Array.from({ length: 50 }, (_, i) => `u${i}`);
  const found = await Promise.all(userIds.map((userId) => lists.get(userId)));
  expect(found.map((list) => list!.userIds)).toEqual(userIds.map((id) => [`friend of ${id}`]));
  expect(found[0]).toMatchObject({
    presenceAudience: Audience.FRIENDS,
    lastSeenAudience: Audience.NOBODY,
    blockedUserIds: ["zoe"],
  });
  expect(asked).toEqual([20, 20, 10]);
  await lists.get("u0");
  expect(asked).toHaveLength(3);
});

it("[P6] nobody is told of a user whom Session does not know", async () => {
  const [unknown, known] = await Promise.all([lists.get("nobody"), lists.get("ann")]);
  expect(unknown).toEqual({
    userIds: [],
    presenceAudience: Audience.NOBODY,
    lastSeenAudience: Audience.NOBODY,
    blockedUserIds: [],
  });
  expect(known!.userIds).toEqual(["friend of ann"]);
});
