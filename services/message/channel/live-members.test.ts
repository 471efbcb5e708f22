import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ChannelSnapshotSchema } from "../../../gen/parley/log/v1/log_pb.js";
import { ChannelSchema, DeliveryMode } from "../../../gen/parley/message/v1/message_pb.js";
import { ManualClock } from "../../../mesh/clock-manual.ts";
import { MemoryStreamsServer } from "../../../mesh/streams-memory.ts";
import { MemoryMessageStoreServer } from "../store/message-store-memory.ts";
import { ChannelState } from "./channel-state.ts";
import { learnMembers } from "./live-members.ts";

describe("the members of a LIVE channel that an instance knows", () => {
  it("[G3] are those that are asked for, though others are forgotten for them", async () => {
    const clock = new ManualClock();
    const { log } = new MemoryStreamsServer({ clock }).connect();
    const store = new MemoryMessageStoreServer(clock).connect();
    const channel = create(ChannelSchema, { channelId: "g-1", mode: DeliveryMode.LIVE });
    const state = new ChannelState(create(ChannelSnapshotSchema, { channel }));
    for (let n = 0; n < 20_000; n++) state.learn(`u${n}`, undefined);
    await learnMembers(state, ["u7", "new"], { log, store });
    expect(["u7", "new", "u8"].map((userId) => state.knows(userId))).toEqual([true, true, false]);
  });
});
