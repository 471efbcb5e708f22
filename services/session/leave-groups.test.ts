import { describe, expect, it } from "vitest";
import { ChannelKind } from "../../gen/parley/message/v1/message_pb.js";
import type { MessageService } from "../../gen/parley/message/v1/message_service_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { Code, RpcError } from "../../mesh/errors.ts";
import { uuidV7TimeMs } from "../../mesh/ids.ts";
import type { CallOptions, Client } from "../../mesh/rpc.ts";
import { leaveGroups } from "./leave-groups.ts";

const identity = { userId: "ann", deviceId: "ann-1" };
const clock = new ManualClock();
const { DIRECT, GROUP } = ChannelKind;

/** A Message that lists these channels in pages of two, and refuses to have some left. */
function messageOf(kinds: Record<string, ChannelKind>, refusals: Record<string, RpcError> = {}) {
  const left: string[] = [];
  const channels = Object.entries(kinds).map(([channelId, kind]) => ({ channelId, kind }));
  const calls = {
    async listChannels({ pageToken }: { pageToken: string }, options: CallOptions) {
      expect(options.identity).toBe(identity);
      const from = Number(pageToken);
      const nextPageToken = from + 2 < channels.length ? String(from + 2) : "";
      return { channels: channels.slice(from, from + 2), nextPageToken };
    },
    async leaveGroup(request: Record<string, string>, options: CallOptions) {
      const { channelId = "", clientMessageId = "" } = request;
      expect(options.identity).toBe(identity);
      expect(uuidV7TimeMs(clientMessageId)).toBe(clock.nowMs());
      const refusal = refusals[channelId];
      if (refusal) throw refusal;
      left.push(channelId);
    },
  };
  return { left, messages: calls as unknown as Client<typeof MessageService> };
}

describe("an account that is deleted", () => {
  it("[G1] leaves the groups of all pages, and no DIRECT channel", async () => {
    const { left, messages } = messageOf({ a: GROUP, b: DIRECT, c: GROUP, d: GROUP, e: GROUP });
    await leaveGroups(messages, identity, clock);
    expect(left).toEqual(["a", "c", "d", "e"]);
  });

  it("[G1] passes over groups that it is not in any more, or that are no more", async () => {
    const refused = (reason: string) => new RpcError(Code.PERMISSION_DENIED, reason, "refused");
    const refusals = { a: refused("NOT_A_MEMBER"), b: refused("CHANNEL_DELETED") };
    const { left, messages } = messageOf({ a: GROUP, b: GROUP, c: GROUP }, refusals);
    await leaveGroups(messages, identity, clock);
    expect(left).toEqual(["c"]);
  });

  it("[G1] fails where a group can't be left", async () => {
    const away = new RpcError(Code.UNAVAILABLE, "UNAVAILABLE", "is away");
    const { messages } = messageOf({ a: GROUP }, { a: away });
    await expect(leaveGroups(messages, identity, clock)).rejects.toBe(away);
  });
});
