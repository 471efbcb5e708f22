import { expect, it } from "vitest";
import { Audience } from "../../gen/parley/session/v1/session_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { Code, RpcError } from "../../mesh/errors.ts";
import { friendLists } from "./friend-lists.ts";

it("[P6] a user whom Session does not know has nothing to hide", async () => {
  const lists = friendLists({
    load: async () => {
      throw new RpcError(Code.NOT_FOUND, "USER_NOT_FOUND", "no such user");
    },
    maxAgeMs: 30_000,
    clock: new ManualClock(),
  });
  expect(await lists.get("nobody")).toEqual({
    userIds: [],
    presenceAudience: Audience.EVERYBODY,
    lastSeenAudience: Audience.EVERYBODY,
    blockedUserIds: [],
  });
});
