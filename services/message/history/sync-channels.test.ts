import { describe, expect, it, vi } from "vitest";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { ChannelUpdateState as State } from "../../../gen/parley/message/v1/sync_pb.js";
import { MessageFixture } from "../message-fixture.ts";

const { method } = MessageService;

/** A group of ann and ben; its creation is item 1. */
async function setUp() {
  const fixture = new MessageFixture();
  const instance = fixture.instance();
  const createGroup = async (name: string) => {
    const request = { clientMessageId: fixture.clientId(), name, userIds: ["ben"], public: true };
    return (await instance.call("ann", method.createGroup, request)).channel!.channelId;
  };
  const send = async (channelId: string, ...texts: string[]) => {
    for (const text of texts) {
      const request = { channelId, clientMessageId: fixture.clientId(), text };
      await instance.call("ann", method.sendMessage, request);
    }
  };
  const sync = async (
    userId: string,
    ...positions: [channelId: string, channelSequence: number][]
  ) => {
    const request = positions.map(([channelId, channelSequence]) => ({
      channelId,
      channelSequence,
    }));
    const { updates } = await instance.call(userId, method.syncChannels, { positions: request });
    return updates.map(({ state, channelSequence, member, messages }) => {
      const texts = messages.flatMap(({ body }) => (body.case === "text" ? body.value : []));
      return { state, channelSequence, member, texts };
    });
  };
  return { fixture, instance, createGroup, send, sync };
}

describe("SyncChannels", () => {
  it("[S2] gives what each channel has got since a position, persisted or not", async () => {
    const { fixture, createGroup, send, sync } = await setUp();
    const [first, second] = [await createGroup("first"), await createGroup("second")];
    await send(first, "1", "2");
    await fixture.work();
    await send(first, "3");
    await send(second, "x");
    expect(await sync("ben", [first, 2], [second, 2])).toEqual([
      { state: State.CURRENT, channelSequence: 4, member: true, texts: ["2", "3"] },
      { state: State.CURRENT, channelSequence: 2, member: true, texts: [] },
    ]);
  });

  it("[G4] gives who was removed what was sent until then, and strangers nothing", async () => {
    const { fixture, instance, createGroup, send, sync } = await setUp();
    const channelId = await createGroup("group");
    await send(channelId, "before");
    const revisions = vi.spyOn(fixture.store, "listRevisions");
    const removal = { channelId, clientMessageId: fixture.clientId(), userId: "ben" };
    await instance.call("ann", method.removeMember, removal);
    await send(channelId, "after", "after");
    expect(await sync("ben", [channelId, 0])).toEqual([
      { state: State.CURRENT, channelSequence: 3, member: false, texts: ["before"] },
    ]);
    // A device that has nothing has nothing that could be revised.
    expect(revisions).not.toHaveBeenCalled();
    const refused = { state: State.NOT_A_MEMBER, channelSequence: 0, member: false, texts: [] };
    expect(await sync("eve", [channelId, 0], [`g-${"x".repeat(20)}`, 0])).toEqual([
      refused,
      refused,
    ]);
  });

  it("[S2] gives what does not fit into a response when it is asked again", async () => {
    const { createGroup, send, sync } = await setUp();
    const channelId = await createGroup("group");
    const texts = Array.from({ length: 9 }, (_, i) => String(i).repeat(40_000));
    await send(channelId, ...texts);
    const got: string[] = [];
    let states = 0;
    for (let position = 1; position < 10; states++) {
      const [update] = await sync("ben", [channelId, position]);
      expect(update!.state).toBe(update!.channelSequence < 10 ? State.MORE : State.CURRENT);
      got.push(...update!.texts);
      position = update!.channelSequence;
    }
    expect(got).toEqual(texts);
    expect(states).toBe(3);
  });

  it("[S4] sends a device that lacks more than 1,000 items to the history", async () => {
    const { fixture, createGroup, send, sync } = await setUp();
    const channelId = await createGroup("group");
    await send(channelId, ...Array.from({ length: 1_001 }, String));
    await fixture.work();
    const revisions = vi.spyOn(fixture.store, "listRevisions");
    expect(await sync("ben", [channelId, 1])).toEqual([
      { state: State.READ_HISTORY, channelSequence: 1_002, member: true, texts: [] },
    ]);
    expect(revisions).not.toHaveBeenCalled();
    expect((await sync("ben", [channelId, 2]))[0]).toMatchObject({ state: State.CURRENT });
  });

  it("[M2] holds few texts of any size at once", async () => {
    const { fixture, createGroup, send, sync } = await setUp();
    const channelId = await createGroup("group");
    await send(channelId, ...Array.from({ length: 60 }, () => "語".repeat(90_000)));
    await fixture.work();
    const read = vi.spyOn(fixture.store, "listMessages");
    expect((await sync("ann", [channelId, 1]))[0]).toMatchObject({ state: State.READ_HISTORY });
    expect(read.mock.calls.map(([{ limit }]) => limit)).toEqual([50]);
  });

  it("[R2] says that a channel can't be read rather than leave something out", async () => {
    const { fixture, createGroup, send, sync } = await setUp();
    const channelId = await createGroup("group");
    await send(channelId, "1");
    fixture.streamFaults.chances.unavailable = 1;
    expect((await sync("ben", [channelId, 1]))[0]).toMatchObject({ state: State.UNAVAILABLE });
  });

  it("refuses no positions, too many, and a channel that comes twice", async () => {
    const { createGroup, sync } = await setUp();
    const channelId = await createGroup("group");
    const many = Array.from({ length: 201 }, (_, i): [string, number] => [`g-${i}`, 0]);
    for (const positions of [
      [],
      many,
      [
        [channelId, 0],
        [channelId, 1],
      ] as [string, number][],
    ]) {
      await expect(sync("ben", ...positions)).rejects.toMatchObject({ reason: "FIELD_INVALID" });
    }
  });
});
