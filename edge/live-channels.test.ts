import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type ItemSchema, LogEntrySchema } from "../gen/parley/log/v1/log_pb.js";
import {
  MembershipChange_Kind as ChangeKind,
  DeliveryMode,
  type MessageSchema,
} from "../gen/parley/message/v1/message_pb.js";
import type { SyncChannelsRequest } from "../gen/parley/message/v1/message_service_pb.js";
import {
  type ChannelUpdateSchema,
  ChannelUpdateState as State,
} from "../gen/parley/message/v1/sync_pb.js";
import { CloseCode } from "./close-codes.ts";
import { EdgeFixture } from "./edge-fixture.ts";
import type { SocketClient } from "./frame-client.ts";

const channelId = "g-live";
const syncMethod = "parley.message.v1.MessageService/SyncChannels";

type Body = MessageInitShape<typeof MessageSchema>["body"];

/** A LIVE channel: its log, what Message answers about it, and fan-out. */
class LiveChannel implements AsyncDisposable {
  readonly fixture = new EdgeFixture();
  lastSequence = 0;
  /** What Message answers beside the present position. */
  update: Omit<MessageInitShape<typeof ChannelUpdateSchema>, "$typeName"> = {};
  /** Called while Message is asked. */
  onSync: () => Promise<unknown> = async () => {};
  private lastLogSequence = 0;

  static async start(): Promise<LiveChannel> {
    const channel = new LiveChannel();
    await channel.fixture.start();
    channel.fixture.answers.set(syncMethod, async ({ positions }: SyncChannelsRequest) => {
      const channelSequence = channel.lastSequence;
      await channel.onSync();
      const updates = positions.map(({ channelId }) => ({
        ...{ channelId, state: State.CURRENT, mode: DeliveryMode.LIVE, member: true },
        ...{ channelSequence, ...channel.update },
      }));
      return { updates };
    });
    return channel;
  }

  /** Appends an entry, and tells of it unless it is lost. */
  async append(bodies: Body[], { isLost = false, memberCount = 0 } = {}): Promise<void> {
    const items = bodies.map((body) => {
      const channelSequence = ++this.lastSequence;
      const value = { channelId, messageId: BigInt(channelSequence), channelSequence, body: body! };
      return { item: { case: "message" as const, value } };
    });
    for (const { item } of items) {
      if (item.value.body.case === "membershipChange")
        Object.assign(item.value.body.value, { memberCount });
    }
    await this.appendItems(items, isLost);
  }

  /** Appends an edit of a message. */
  async revise(messageChannelSequence: number, text: string): Promise<void> {
    const channelSequence = ++this.lastSequence;
    const change = { case: "edit" as const, value: { text } };
    const value = { channelId, channelSequence, messageChannelSequence, change };
    await this.appendItems([{ item: { case: "revision" as const, value } }], false);
  }

  private async appendItems(
    items: MessageInitShape<typeof ItemSchema>[],
    isLost: boolean,
  ): Promise<void> {
    const data = toBinary(LogEntrySchema, create(LogEntrySchema, { channelId, items }));
    const { log } = this.fixture.streams;
    const sequence = await log.append(channelId, data);
    const entry = { data, sequence, prevSequence: this.lastLogSequence };
    if (!isLost) this.fixture.streams.publishLog(channelId, entry);
    this.lastLogSequence = sequence;
    await new Promise((resolve) => setImmediate(resolve));
  }

  text(text: string, options?: { isLost?: boolean }): Promise<void> {
    return this.append([{ case: "text", value: text }], options);
  }

  /** A device that follows the channel from its beginning. */
  async follow(token: string, subprotocol?: string): Promise<SocketClient> {
    const client = await this.fixture.signIn(token, undefined, subprotocol);
    await client.next("caughtUp");
    client.send({
      case: "followChannels",
      value: { channels: [{ channelId, channelSequence: 0 }] },
    });
    await client.next("followChannelsResult");
    return client;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.fixture[Symbol.asyncDispose]();
  }
}

function membership(kind: ChangeKind, ...userIds: string[]): Body {
  return { case: "membershipChange", value: { kind, userIds } };
}

/** The next frame of the channel: what it spans, and its texts. */
async function nextOf(client: SocketClient) {
  const { prevChannelSequence, channelSequence, memberCount, items } =
    await client.next("channelDeliveries");
  const texts = items.map(({ item }) => (item.value as { body: { value: unknown } }).body.value);
  return { span: [prevChannelSequence, channelSequence], memberCount, texts };
}

/** The next texts of the channel, in however many frames. */
async function textsOf(client: SocketClient, count: number): Promise<unknown[]> {
  const texts: unknown[] = [];
  while (texts.length < count) texts.push(...(await nextOf(client)).texts);
  return texts;
}

describe("[G3] the edge, for devices that follow LIVE channels,", () => {
  it("asks Message what they lack and then gives what comes, in both formats", async () => {
    await using channel = await LiveChannel.start();
    await channel.text("before");
    const clients = [
      await channel.follow("ann/ann-1"),
      await channel.follow("ben/ben-1", "parley.v1.json"),
    ];
    expect(channel.fixture.calls.at(-1)).toMatchObject({
      method: syncMethod,
      request: { positions: [{ channelId, channelSequence: 0 }] },
      options: { identity: { userId: "ben", deviceId: "ben-1" } },
    });
    await channel.append([
      { case: "text", value: "1" },
      { case: "text", value: "2" },
    ]);
    for (const client of clients) {
      expect(await nextOf(client)).toEqual({ span: [1, 3], memberCount: 0, texts: ["1", "2"] });
    }
  });

  it("[S2] loses nothing of what comes while Message is asked, and repeats nothing", async () => {
    await using channel = await LiveChannel.start();
    await channel.text("1");
    await channel.follow("ann/ann-1");
    // Message answers with 1; 2 and 3 come before its answer does.
    channel.onSync = async () => {
      await channel.text("2");
      await channel.text("3");
    };
    const ben = await channel.follow("ben/ben-1");
    await channel.text("4");
    expect(await textsOf(ben, 3)).toEqual(["2", "3", "4"]);
  });

  it("[S3] repairs what was not told of from the log, once for all", async () => {
    await using channel = await LiveChannel.start();
    await channel.text("1");
    const clients = [await channel.follow("ann/ann-1"), await channel.follow("ben/ben-1")];
    await channel.text("2", { isLost: true });
    await channel.text("3");
    for (const client of clients) expect(await textsOf(client, 2)).toEqual(["2", "3"]);
    await channel.text("4", { isLost: true });
    for (let seconds = 0; seconds < 32; seconds++) await channel.fixture.pass(1_000);
    for (const client of clients) {
      const frames = client.frames.filter((frame) => frame.case === "channelDeliveries");
      expect(frames).toMatchObject([{ value: { channelSequence: 4 } }]);
    }
  });

  it("[G4] gives who is removed what was before the removal and nothing after it", async () => {
    await using channel = await LiveChannel.start();
    await channel.text("1");
    const ann = await channel.follow("ann/ann-1");
    const ben = await channel.follow("ben/ben-1");
    await channel.append([
      { case: "text", value: "2" },
      membership(ChangeKind.REMOVED, "ben"),
      { case: "text", value: "3" },
    ]);
    await channel.text("4");
    expect(await nextOf(ben)).toMatchObject({ span: [1, 2], texts: ["2"] });
    expect(await textsOf(ann, 3)).toEqual(["2", "3", "4"]);
    expect(await ben.isAlive()).toBe(true);
  });

  it("[G4] gives everybody the deletion, and nothing after it", async () => {
    await using channel = await LiveChannel.start();
    const [ann, ben] = [await channel.follow("ann/ann-1"), await channel.follow("ben/ben-1")];
    const change = { case: "deletion", value: {} } as const;
    await channel.append([
      { case: "text", value: "1" },
      { case: "channelChange", value: { change } },
    ]);
    for (const client of [ann, ben]) {
      expect(await nextOf(client)).toMatchObject({
        span: [0, 2],
        texts: ["1", { change: { case: "deletion" } }],
      });
    }
    await channel.text("2");
    channel.update = { state: State.DELETED, member: false };
    ann.send({ case: "followChannels", value: { channels: [{ channelId, channelSequence: 2 }] } });
    const { updates } = await ann.next("followChannelsResult");
    expect(updates).toMatchObject([{ state: State.DELETED }]);
    expect(await ben.isAlive()).toBe(true);
  });

  it("[G4] keeps from who joined later how earlier messages are changed", async () => {
    await using channel = await LiveChannel.start();
    for (const text of ["1", "2"]) await channel.text(text);
    const ann = await channel.follow("ann/ann-1");
    channel.update = { minChannelSequence: 2 };
    const ben = await channel.follow("ben/ben-1");
    const edit = (messageChannelSequence: number) =>
      channel.revise(messageChannelSequence, `edited ${messageChannelSequence}`);
    await edit(1);
    await edit(2);
    const revised = async (client: SocketClient) => {
      const texts: string[] = [];
      for (let position = 2; position < 4; ) {
        const { channelSequence, items } = await client.next("channelDeliveries");
        position = channelSequence;
        for (const { item } of items) {
          if (item.case === "revision" && item.value.change.case === "edit") {
            texts.push(item.value.change.value.text);
          }
        }
      }
      return texts;
    };
    expect(await revised(ann)).toEqual(["edited 1", "edited 2"]);
    expect(await revised(ben)).toEqual(["edited 2"]);
  });

  it("[G4] gives nothing to who is no member, and nothing of a COPY channel", async () => {
    await using channel = await LiveChannel.start();
    await channel.text("1");
    channel.update = { state: State.NOT_A_MEMBER, member: false };
    const eve = await channel.follow("eve/eve-1");
    channel.update = { mode: DeliveryMode.COPY };
    const ann = await channel.follow("ann/ann-1");
    await channel.text("2");
    expect(await eve.isAlive()).toBe(true);
    expect(await ann.isAlive()).toBe(true);
  });

  it("tells that many came and went as one count, at most once a second", async () => {
    await using channel = await LiveChannel.start();
    await channel.text("1");
    const ann = await channel.follow("ann/ann-1");
    await channel.append([membership(ChangeKind.JOINED, "joe")], { memberCount: 101 });
    await channel.fixture.pass(1_000);
    expect(await nextOf(ann)).toEqual({ span: [1, 2], memberCount: 101, texts: [] });
    for (let i = 0; i < 5; i++) {
      await channel.append([membership(ChangeKind.JOINED, `joe${i}`)], { memberCount: 102 + i });
    }
    expect(await ann.isAlive()).toBe(true);
    await channel.fixture.pass(1_000);
    expect(await nextOf(ann)).toEqual({ span: [2, 7], memberCount: 106, texts: [] });
  });

  it("[R1] asks Message again for who did not read for a while", async () => {
    await using channel = await LiveChannel.start();
    await channel.text("1");
    const ann = await channel.follow("ann/ann-1");
    ann.ws.pause();
    const { fixture } = channel;
    while ((await fixture.count("parley_edge_lagging_total")) === 0) {
      await channel.text("x".repeat(65_536));
    }
    for (let i = 0; i < 100; i++) await channel.text("x".repeat(20_000));
    ann.ws.resume();
    let position = 1;
    while (position < channel.lastSequence) {
      const frame = await ann.any();
      if (frame.case === "channelDeliveries") {
        expect(frame.value.prevChannelSequence).toBe(position);
        position = frame.value.channelSequence;
      } else if (frame.case === "followChannelsResult") {
        position = frame.value.updates[0]!.channelSequence;
      }
    }
    expect(fixture.calls.filter(({ method }) => method === syncMethod)).toHaveLength(2);
  });

  it("says UNAVAILABLE where Message can't be asked, and begins anew when asked again", async () => {
    await using channel = await LiveChannel.start();
    await channel.text("1");
    channel.onSync = () => Promise.reject(new Error("away"));
    const ann = await channel.fixture.signIn("ann/ann-1");
    await ann.next("caughtUp");
    const channels = [{ channelId, channelSequence: 1 }];
    ann.send({ case: "followChannels", value: { channels } });
    const { updates } = await ann.next("followChannelsResult");
    expect(updates).toMatchObject([{ channelId, state: State.UNAVAILABLE }]);
    channel.onSync = async () => {};
    ann.send({ case: "followChannels", value: { channels } });
    await ann.next("followChannelsResult");
    await channel.text("2");
    expect((await nextOf(ann)).texts).toEqual(["2"]);
  });

  it("says UNAVAILABLE of a channel that Message's answer leaves out", async () => {
    await using channel = await LiveChannel.start();
    channel.fixture.answers.set(syncMethod, async () => ({
      updates: [{ channelId, state: State.CURRENT, mode: DeliveryMode.LIVE, member: true }],
    }));
    const ann = await channel.fixture.signIn("ann/ann-1");
    await ann.next("caughtUp");
    const channels = [{ channelId: "g-other" }, { channelId }];
    ann.send({ case: "followChannels", value: { channels } });
    expect((await ann.next("followChannelsResult")).updates).toMatchObject([
      { channelId: "g-other", state: State.UNAVAILABLE },
      { channelId, state: State.CURRENT },
    ]);
    await channel.text("1");
    expect((await nextOf(ann)).texts).toEqual(["1"]);
  });

  it("refuses no channels, too many, one twice, and what is no id", async () => {
    await using channel = await LiveChannel.start();
    const many = Array.from({ length: 201 }, (_, i) => ({ channelId: `g-${i}` }));
    const twice = [{ channelId }, { channelId }];
    for (const channels of [[], many, twice, [{ channelId: "*" }]]) {
      const client = await channel.fixture.signIn("ann/ann-1");
      await client.next("caughtUp");
      client.send({ case: "followChannels", value: { channels } });
      expect(await client.closed).toMatchObject({ code: CloseCode.BAD_FRAME });
    }
  });
});
