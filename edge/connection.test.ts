import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { EventSchema, ResetReason } from "../gen/parley/edge/v1/frame_pb.js";
import {
  ListChannelsRequestSchema,
  ListChannelsResponseSchema,
  SendMessageResponseSchema,
} from "../gen/parley/message/v1/message_service_pb.js";
import { Status } from "../gen/parley/presence/v1/presence_pb.js";
import { Code, RpcError } from "../mesh/errors.ts";
import { EdgeFixture } from "./edge-fixture.ts";
import type { FrameClient, Position } from "./frame-client.ts";

/** What carries frames, and how a device signs in over it. */
const carriers: [string, (fixture: EdgeFixture, token: string, at?: Position) => Signing][] = [
  ["[T1] parley.v1.protobuf", (edge, token, at) => edge.signIn(token, at, "parley.v1.protobuf")],
  ["[T1] parley.v1.json", (edge, token, at) => edge.signIn(token, at, "parley.v1.json")],
  ["[T2] an event stream", (edge, token, at) => edge.signInBy("events", token, at)],
  ["[T2] polls", (edge, token, at) => edge.signInBy("poll", token, at)],
];
type Signing = Promise<FrameClient>;

describe.each(carriers)("over %s", (_name, signIn) => {
  it("[M1] [S1] a message reaches each device of its receiver, with its place in the inbox", async () => {
    await using fixture = await new EdgeFixture().start();
    await fixture.store("bob", "before");
    const phone = await signIn(fixture, "bob/bob-1");
    const laptop = await signIn(fixture, "bob/bob-2");
    for (const device of [phone, laptop]) {
      expect((await device.next("caughtUp")).inboxSequence).toBe(1n);
    }
    await fixture.store("bob", "hello 🌍");
    for (const device of [phone, laptop]) {
      const { deliveries } = await device.next("deliveries");
      expect(deliveries).toMatchObject([{ inboxSequence: 2n, prevInboxSequence: 1n }]);
      const item = deliveries[0]!.entry!.items[0]!.item;
      expect(item.value).toMatchObject({ body: { case: "text", value: "hello 🌍" } });
    }
  });

  it("[S2] a device that comes back gets what it lacks, in order, then CaughtUp", async () => {
    await using fixture = await new EdgeFixture().start();
    for (let i = 1; i <= 600; i++) await fixture.store("bob", `${i}`);
    const position = { inboxEpoch: fixture.streams.inbox.epoch("bob"), inboxSequence: 2n };
    const device = await signIn(fixture, "bob/bob-1", position);
    expect(await device.texts(598)).toEqual(Array.from({ length: 598 }, (_, i) => `${i + 3}`));
    expect((await device.next("caughtUp")).inboxSequence).toBe(600n);
  });

  it("[M3] a send is handed on with the sender's verified identity and answered", async () => {
    await using fixture = await new EdgeFixture().start();
    const device = await signIn(fixture, "alice/alice-1");
    await device.next("caughtUp");
    const request = { channelId: "g-1", clientMessageId: "c-1", text: "hi" };
    fixture.holdsSends = true;
    device.send({ case: "send", value: { requestId: 7, request } });
    device.send({ case: "send", value: { requestId: 8, request } });
    device.send({ case: "send", value: { requestId: 9 } });
    expect(await device.next("sendResult")).toMatchObject({
      requestId: 9,
      result: { case: "error", value: { code: Code.INVALID_ARGUMENT, reason: "FIELD_INVALID" } },
    });
    const [first, second] = fixture.sends;
    expect(first).toMatchObject({ userId: "alice", request });
    second!.done(new RpcError(Code.UNAVAILABLE, "UNAVAILABLE", "no", { retryAfterMs: 300 }));
    first!.done(create(SendMessageResponseSchema, { messageId: 5n, channelSequence: 3 }));
    expect(await device.next("sendResult")).toMatchObject({
      requestId: 8,
      result: { case: "error", value: { reason: "UNAVAILABLE", retryAfterMs: 300 } },
    });
    expect(await device.next("sendResult")).toMatchObject({
      requestId: 7,
      result: { case: "response", value: { messageId: 5n, channelSequence: 3 } },
    });
  });
});

describe("a signed-in connection", () => {
  it("calls public methods in Protobuf and in JSON, with identity, deadline and address", async () => {
    await using fixture = await new EdgeFixture().start();
    const device = await fixture.signIn("alice/alice-1");
    await device.next("caughtUp");
    const method = "parley.message.v1.MessageService/ListChannels";
    fixture.answers.set(method, () => ({ nextPageToken: "more" }));
    const protobuf = toBinary(
      ListChannelsRequestSchema,
      create(ListChannelsRequestSchema, { pageSize: 3 }),
    );
    device.send({
      case: "call",
      value: {
        requestId: 1,
        method,
        timeoutMs: 900,
        request: { case: "protobuf", value: protobuf },
      },
    });
    const { result } = await device.next("result");
    expect(fromBinary(ListChannelsResponseSchema, result.value as Uint8Array)).toMatchObject({
      nextPageToken: "more",
    });
    expect(fixture.calls[0]).toMatchObject({
      method,
      request: { pageSize: 3 },
      options: { identity: { userId: "alice", deviceId: "alice-1" }, timeoutMs: 900 },
    });
    expect(fixture.calls[0]!.options.clientAddress).toContain("127.0.0.1");

    const text = await fixture.signIn("alice/alice-2", undefined, "parley.v1.json");
    await text.next("caughtUp");
    const json = { case: "json", value: '{"pageSize": 4}' } as const;
    for (const value of [
      { requestId: 2, method, request: json },
      { requestId: 3, method },
    ]) {
      text.send({ case: "call", value });
      expect(await text.next("result")).toMatchObject({
        requestId: value.requestId,
        result: { case: "json", value: '{"nextPageToken":"more"}' },
      });
    }
    expect(fixture.calls[1]).toMatchObject({ request: { pageSize: 4 } });
  });

  it("passes a service's refusal on as it is", async () => {
    await using fixture = await new EdgeFixture().start();
    const device = await fixture.signIn("alice/alice-1");
    await device.next("caughtUp");
    const method = "parley.message.v1.MessageService/GetChannel";
    fixture.answers.set(method, () => {
      throw new RpcError(Code.PERMISSION_DENIED, "NOT_A_MEMBER", "alice is not in g-1");
    });
    device.send({ case: "call", value: { requestId: 1, method } });
    expect(await device.next("result")).toMatchObject({
      result: { case: "error", value: { code: Code.PERMISSION_DENIED, reason: "NOT_A_MEMBER" } },
    });
  });

  it("hears events that are not stored", async () => {
    await using fixture = await new EdgeFixture().start();
    for (const subprotocol of ["parley.v1.protobuf", "parley.v1.json"]) {
      const device = await fixture.signIn("alice/alice-1", undefined, subprotocol);
      await device.next("caughtUp");
      const channelId = "g-1";
      const cursors = [{ userId: "bob", readMessageId: 7n }];
      for (const event of [
        { case: "presence", value: { userId: "bob", status: Status.ONLINE } },
        { case: "typing", value: { channelId, userId: "bob" } },
        { case: "cursorsMoved", value: { channelId, cursors } },
      ] as const) {
        const data = toBinary(EventSchema, create(EventSchema, { event }));
        fixture.streams.publishInbox("alice", data);
        expect((await device.next("event")).event).toMatchObject(event);
      }
    }
  });

  it("[S1] tells Message the latest of what each device has stored", async () => {
    await using fixture = await new EdgeFixture().start();
    const device = await fixture.signIn("alice/alice-1");
    await device.next("caughtUp");
    await fixture.store("alice", "a");
    await fixture.store("alice", "b");
    await device.texts(2);
    device.send({ case: "ack", value: { inboxSequence: 2n, curMaxMessageId: 7n } });
    const channel = { channelId: "g-1", messageId: 9n };
    const last = { inboxSequence: 3n, curMaxMessageId: 9n, channels: [channel] };
    device.send({ case: "ack", value: last });
    await device.isAlive();
    expect(fixture.marked).toEqual([]);
    fixture.clock.advance(3_000);
    await device.isAlive();
    const inboxEpoch = fixture.streams.inbox.epoch("alice");
    const cursor = { inboxEpoch, inboxSequence: 3n, curMaxMessageId: 9n };
    expect(fixture.marked).toMatchObject([{ userId: "alice", deviceId: "alice-1", cursor }]);
    expect(fixture.delivered).toMatchObject([{ userId: "alice", channel }]);
  });
});

describe("the position in the inbox", () => {
  it("[S2] of a new device is the present end", async () => {
    await using fixture = await new EdgeFixture().start();
    await fixture.store("alice", "old");
    const device = await fixture.connect();
    device.send({ case: "hello", value: { accessToken: "alice/alice-1" } });
    expect(await device.next("welcome")).toMatchObject({
      userId: "alice",
      deviceId: "alice-1",
      inboxSequence: 1n,
      resetReason: ResetReason.NEW_DEVICE,
      heartbeatIntervalMs: 5_000,
    });
  });

  it("[S4] of another epoch, or trimmed, makes the device rebuild", async () => {
    await using fixture = await new EdgeFixture().start();
    for (let i = 0; i < 5; i++) await fixture.store("alice", "old");
    const stranger = await fixture.connect();
    const hello = { accessToken: "alice/alice-1", inboxEpoch: "another", inboxSequence: 3n };
    stranger.send({ case: "hello", value: hello });
    expect(await stranger.next("welcome")).toMatchObject({
      inboxSequence: 5n,
      resetReason: ResetReason.UNKNOWN_EPOCH,
    });
    fixture.clock.advance(31 * 86_400_000);
    await fixture.store("alice", "new");
    await fixture.streams.inbox.trim({ olderThanMs: 30 * 86_400_000, workers: [] });
    const position = { inboxEpoch: fixture.streams.inbox.epoch("alice"), inboxSequence: 4n };
    const late = await fixture.signIn("alice/alice-2", position);
    expect(await late.next("reset")).toMatchObject({
      reason: ResetReason.TRIMMED,
      inboxSequence: 6n,
    });
    await late.next("caughtUp");
  });

  it.each([
    { has: 9n, resumes: true },
    { has: 8n, resumes: false },
  ])(
    "[S2] of a device that lost it is what it acknowledged, if its messages reach as far ($has)",
    async ({ has, resumes }) => {
      await using fixture = await new EdgeFixture().start();
      for (let i = 1; i <= 4; i++) await fixture.store("alice", `${i}`);
      const inboxEpoch = fixture.streams.inbox.epoch("alice");
      fixture.answers.set("parley.message.v1.MessageService/GetDeviceCursor", () => ({
        cursor: { inboxEpoch, inboxSequence: 2n, curMaxMessageId: 9n },
      }));
      const device = await fixture.connect();
      const hello = { accessToken: "alice/alice-1", curMaxMessageId: has };
      device.send({ case: "hello", value: hello });
      const welcome = await device.next("welcome");
      expect(welcome.inboxSequence).toBe(resumes ? 2n : 4n);
      expect(welcome.resetReason).toBe(resumes ? ResetReason.UNSPECIFIED : ResetReason.NEW_DEVICE);
      if (resumes) expect(await device.texts(2)).toEqual(["3", "4"]);
    },
  );
});
