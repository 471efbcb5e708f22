import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  LinkDeliveredSchema,
  type LinkRequest,
  type LinkResponse,
  LinkResponseSchema,
  SendMessageRequestSchema,
} from "../gen/parley/message/v1/message_service_pb.js";
import { ManualClock } from "../mesh/clock-manual.ts";
import { Code, type RpcError } from "../mesh/errors.ts";
import { silentLogger } from "../mesh/logger.ts";
import type { DuplexStream, Mesh } from "../mesh/rpc.ts";
import { SendLinks } from "./send-links.ts";

const identity = { userId: "alice", deviceId: "phone" };

/** The other end of a link: what was written to it, and how to answer. */
class FakeStream implements DuplexStream<LinkResponse, LinkRequest> {
  onMessage: (message: LinkResponse) => void = () => {};
  onClose: (error: Error | undefined) => void = () => {};
  onDrain: () => void = () => {};
  readonly written: LinkRequest[] = [];
  ended = false;

  write(message: LinkRequest): boolean {
    this.written.push(message);
    return true;
  }

  end(): void {
    this.ended = true;
  }

  answer(...linkIds: number[]): void {
    const results = linkIds.map((linkId) => ({
      linkId,
      result: { case: "response" as const, value: { messageId: BigInt(linkId) } },
    }));
    this.onMessage(create(LinkResponseSchema, { results }));
  }
}

function setUp(instanceIds: string[] = ["message-a"]) {
  const streams = new Map<string, FakeStream[]>();
  let tell: (instanceIds: readonly string[]) => void = () => {};
  const mesh: Pick<Mesh, "watchInstances" | "openStream"> = {
    watchInstances(_service, onChange) {
      tell = onChange;
      onChange(instanceIds);
    },
    openStream(_method, instanceId) {
      const stream = new FakeStream();
      streams.set(instanceId, [...(streams.get(instanceId) ?? []), stream]);
      return stream as never;
    },
  };
  const clock = new ManualClock();
  const links = new SendLinks(mesh as Mesh, clock, silentLogger);
  const results: unknown[] = [];
  const send = (channelId: string) => {
    const at = results.push(undefined) - 1;
    const request = create(SendMessageRequestSchema, { channelId, text: "hello" });
    links.send(identity, request, (result) => {
      results[at] = result;
    });
  };
  const stream = (instanceId: string) => streams.get(instanceId)!.at(-1)!;
  return { links, send, stream, streams, results, clock, tell: (ids: string[]) => tell(ids) };
}

describe("SendLinks", () => {
  it("puts what gathered in a turn into one write, and answers each send", async () => {
    const { send, stream, results } = setUp();
    send("g-1");
    send("g-2");
    await turn();
    const { written } = stream("message-a");
    expect(written.map(({ sends }) => sends.length)).toEqual([2]);
    expect(written[0]!.sends[0]).toMatchObject({ userId: "alice", request: { channelId: "g-1" } });
    stream("message-a").answer(2, 1);
    expect(results).toMatchObject([{ messageId: 1n }, { messageId: 2n }]);
  });

  it("[M8] tells a channel's instance what users have of it", async () => {
    const { links, send, streams } = setUp(["message-a", "message-b", "message-c"]);
    const channelIds = Array.from({ length: 20 }, (_, i) => `g-${i}`);
    for (const channelId of channelIds) send(channelId);
    links.markChannels(
      channelIds.map((channelId) =>
        create(LinkDeliveredSchema, { userId: "alice", channel: { channelId, messageId: 1n } }),
      ),
    );
    await turn();
    for (const [stream] of streams.values()) {
      const sent = stream!.written.flatMap(({ sends }) =>
        sends.map(({ request }) => request!.channelId),
      );
      const told = stream!.written.flatMap(({ delivered }) =>
        delivered.map(({ channel }) => channel!.channelId),
      );
      expect(told).toEqual(sent);
    }
  });

  it("[D3] sends a channel's texts to one instance", async () => {
    const { send, streams } = setUp(["message-a", "message-b", "message-c"]);
    for (let i = 0; i < 20; i++) send("g-1");
    await turn();
    expect(streams.size).toBe(1);
  });

  it("[M5] answers UNAVAILABLE with a retry hint to what a broken link leaves unanswered", async () => {
    const { send, stream, streams, results } = setUp();
    send("g-1");
    await turn();
    stream("message-a").onClose(new Error("broken"));
    const error = results[0] as RpcError;
    expect(error.code).toBe(Code.UNAVAILABLE);
    expect(error.details.retryAfterMs).toBeGreaterThan(0);
    send("g-1");
    await turn();
    expect(streams.get("message-a")).toHaveLength(2);
    stream("message-a").answer(1);
    expect(results[1]).toMatchObject({ messageId: 1n });
  });

  it("[R3] [D2] turns to another instance when a link breaks, whatever the registry says, and back later", async () => {
    const { send, stream, streams, results, clock } = setUp(["message-a", "message-b"]);
    send("g-1");
    await turn();
    const [[owner]] = [...streams] as [[string, FakeStream[]]];
    const other = owner === "message-a" ? "message-b" : "message-a";
    stream(owner).onClose(new Error("broken"));
    send("g-1");
    await turn();
    expect(streams.get(owner)).toHaveLength(1);
    stream(other).answer(1);
    expect(results[1]).toMatchObject({ messageId: 1n });
    clock.advance(6_000);
    send("g-1");
    await turn();
    expect(streams.get(owner)).toHaveLength(2);
  });

  it("[R3] goes on trying where all links are broken", async () => {
    const { send, stream, streams, results } = setUp(["message-a", "message-b"]);
    for (let i = 0; i < 3; i++) {
      send("g-1");
      await turn();
      for (const instanceId of streams.keys()) stream(instanceId).onClose(new Error("broken"));
    }
    expect(streams.size).toBe(2);
    send("g-1");
    await turn();
    const open = [...streams.values()].flatMap((each) => each.slice(-1));
    for (const each of open) each.answer(1);
    expect(results[3]).toMatchObject({ messageId: 1n });
  });

  it("[R1] answers DEADLINE_EXCEEDED where no answer comes, and ignores one that comes later", async () => {
    const { send, stream, results, clock } = setUp();
    send("g-1");
    await turn();
    // Others are answered meanwhile.
    for (let seconds = 0; seconds < 9; seconds++) {
      clock.advance(1_000);
      stream("message-a").answer();
    }
    expect(results[0]).toBeUndefined();
    clock.advance(2_000);
    expect((results[0] as RpcError).code).toBe(Code.DEADLINE_EXCEEDED);
    stream("message-a").answer(1);
    expect((results[0] as RpcError).code).toBe(Code.DEADLINE_EXCEEDED);
  });

  it("[D3] lets an instance that leaves answer what it has, and sends it nothing more", async () => {
    const { send, stream, results, tell } = setUp();
    send("g-1");
    await turn();
    const leaving = stream("message-a");
    tell(["message-b"]);
    expect(leaving.ended).toBe(true);
    send("g-1");
    await turn();
    expect(stream("message-b").written).toHaveLength(1);
    leaving.answer(1);
    expect(results[0]).toMatchObject({ messageId: 1n });
  });

  it("[R3] gives an instance up that says nothing while a send waits, and not one that is idle", async () => {
    const { send, stream, streams, results, clock } = setUp(["message-a", "message-b"]);
    send("g-1");
    await turn();
    const [first] = streams.keys();
    stream(first!).answer(1);
    clock.advance(60_000);
    expect(stream(first!).ended).toBe(false);
    send("g-1");
    await turn();
    clock.advance(4_000);
    expect((results[1] as RpcError).code).toBe(Code.UNAVAILABLE);
    send("g-1");
    await turn();
    expect([...streams.keys()]).toHaveLength(2);
    expect(streams.get(first!)).toHaveLength(1);
  });

  it("[R3] turns to another instance when one can't serve", async () => {
    const { send, stream, streams, results } = setUp(["message-a", "message-b"]);
    send("g-1");
    await turn();
    const [first] = streams.keys();
    const error = { code: Code.UNAVAILABLE, reason: "UNAVAILABLE", message: "NATS is away" };
    const result = { case: "error" as const, value: error };
    stream(first!).onMessage(create(LinkResponseSchema, { results: [{ linkId: 1, result }] }));
    expect((results[0] as RpcError).code).toBe(Code.UNAVAILABLE);
    send("g-1");
    await turn();
    expect([...streams.keys()]).toHaveLength(2);
  });

  it("[R2] stays with an instance that accepts sends, though one hangs on what is away", async () => {
    const { send, stream, streams, results, clock } = setUp(["message-a", "message-b"]);
    send("g-1");
    send("g-1");
    await turn();
    const [first] = streams.keys();
    const error = { code: Code.UNAVAILABLE, reason: "UNAVAILABLE", message: "the store is away" };
    const refuse = (linkId: number) => {
      const result = { case: "error" as const, value: error };
      stream(first!).onMessage(create(LinkResponseSchema, { results: [{ linkId, result }] }));
    };
    stream(first!).answer(1);
    refuse(2);
    expect((results[1] as RpcError).code).toBe(Code.UNAVAILABLE);
    send("g-1");
    await turn();
    expect([...streams.keys()]).toEqual([first]);
    clock.advance(2_000);
    refuse(3);
    send("g-1");
    await turn();
    expect([...streams.keys()]).toHaveLength(2);
  });

  it("answers UNAVAILABLE at once where no instance is known", () => {
    const { send, results } = setUp([]);
    send("g-1");
    expect((results[0] as RpcError).code).toBe(Code.UNAVAILABLE);
  });
});
