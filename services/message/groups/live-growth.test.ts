import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DeliveryMode } from "../../../gen/parley/message/v1/message_pb.js";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { itemsOf } from "../channel/channel-item.ts";
import { stayChanges } from "../channel/stay-changes.ts";
import { MessageFixture } from "../message-fixture.ts";

const { method } = MessageService;

/** Who comes, goes and talks around the hundredth member. */
const step = fc.record({
  what: fc.constantFrom("join", "leave", "send", "send", "add", "work", "fail"),
  user: fc.integer({ min: 0, max: 6 }),
  instance: fc.integer({ min: 0, max: 1 }),
});

describe("[G3] a group around its hundredth member", () => {
  it("stores what it acknowledged once and in one order, and turns LIVE once, whatever fails", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const fixture = new MessageFixture();
        const instances = [fixture.instance(), fixture.instance()];
        const [first] = instances;
        const userIds = Array.from({ length: 97 }, (_, i) => `m${i}`);
        const request = { clientMessageId: fixture.clientId(), name: "g", userIds, public: true };
        const { channelId } = (await first!.call("ann", method.createGroup, request)).channel!;
        const acknowledged = new Set<string>();
        let texts = 0;
        const results = await Promise.allSettled(
          steps.map(async ({ what, user, instance: at }) => {
            const userId = `u${user}`;
            const instance = instances[at]!;
            const ids = { channelId, clientMessageId: fixture.clientId() };
            if (what === "join") await instance.call(userId, method.joinGroup, ids);
            else if (what === "leave") await instance.call(userId, method.leaveGroup, ids);
            else if (what === "add") {
              await instance.call("ann", method.addMembers, { ...ids, userIds: [userId, "joe"] });
            } else if (what === "work") await fixture.work();
            else if (what === "fail") fixture.streamFaults.next("appendUnknownStored");
            else {
              const text = `${++texts}`;
              await instance.call(userId, method.sendMessage, { ...ids, text });
              acknowledged.add(text);
            }
          }),
        );
        const refusals = results.flatMap((each) => (each.status === "rejected" ? each.reason : []));
        for (const { reason } of refusals)
          expect(["NOT_A_MEMBER", "UNAVAILABLE"]).toContain(reason);

        const items = (await fixture.entriesOf(channelId)).flatMap((entry) => [...itemsOf(entry)]);
        expect(items.map(({ value }) => value.channelSequence)).toEqual(items.map((_, i) => i + 1));
        const members = new Set<string>();
        const stored: string[] = [];
        let turns = 0;
        for (const item of items) {
          if (item.case !== "message") continue;
          const { body, senderId } = item.value;
          const { begun, ended } = stayChanges(item.value);
          for (const { userId } of begun) expect(members.has(userId)).toBe(false);
          for (const { userId } of begun) members.add(userId);
          for (const { userId } of ended) expect(members.delete(userId)).toBe(true);
          if (body.case === "membershipChange") expect(body.value.memberCount).toBe(members.size);
          if (body.case === "channelChange") turns++;
          if (body.case !== "text") continue;
          expect(members.has(senderId)).toBe(true);
          stored.push(body.value);
        }
        expect(new Set(stored).size).toBe(stored.length);
        expect(stored).toEqual(expect.arrayContaining([...acknowledged]));
        const { channel } = await fixture.instance().call("ann", method.getChannel, { channelId });
        expect(channel).toMatchObject({ memberCount: members.size });
        expect(turns).toBe(channel!.mode === DeliveryMode.LIVE ? 1 : 0);
        const { messages } = await first!.call("ann", method.listMessages, {
          channelId,
          pageSize: 200,
        });
        const shown = messages.flatMap(({ body }) => (body.case === "text" ? body.value : []));
        expect(shown.reverse()).toEqual(stored);
      }),
      { numRuns: 60 },
    );
  });
});
