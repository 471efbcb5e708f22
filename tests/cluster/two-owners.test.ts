/** Two instances of Message that both take themselves for the one that a channel belongs to. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { UuidV7 } from "../../edge/sdk/uuid-v7.ts";
import type { Message } from "../../gen/parley/message/v1/message_pb.js";
import {
  MessageService,
  type SendMessageResponse,
} from "../../gen/parley/message/v1/message_service_pb.js";
import { systemClock as clock } from "../../mesh/clock.ts";
import { ConsulClient } from "../../mesh/consul-client.ts";
import { dial } from "../../mesh/dial.ts";
import { Code, type RpcError } from "../../mesh/errors.ts";
import { silentLogger as log } from "../../mesh/logger.ts";
import { Metrics } from "../../mesh/metrics.ts";
import { ConsulRegistry } from "../../mesh/registry-consul.ts";
import type { Stream } from "../../mesh/streams.ts";
import { decode, entriesOf } from "../../services/message/channel/log-entries.ts";
import type { Device } from "../e2e/device.ts";
import { eventually, OwnCluster, startMsMax } from "./own-cluster.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: startMsMax });

const senders = 5;
/** Of one sender at a time. */
const lanes = 3;
const roundsEach = 20;
/** A batch that has lost too often against the other instance's is refused. */
const triesMax = 20;

let own: OwnCluster;
let mesh: ReturnType<typeof dial>;
let instances: readonly string[];
let devices: Device[];
beforeAll(async () => {
  own = await OwnCluster.start({ instances: { idgen: 1, session: 1, presence: 1, worker: 1 } });
  const { PARLEY_CONSUL_URL: url, PARLEY_MESH_SECRET: meshSecret } = own.cluster.environment;
  const registry = new ConsulRegistry({
    consul: new ConsulClient({ url: url!, clock }),
    clock,
    log,
  });
  mesh = dial({ registry, meshSecret: meshSecret!, clock, log, metrics: new Metrics() });
  const found = () => mesh.instanceIds(MessageService);
  await vi.waitFor(() => expect(found()).toHaveLength(2), eventually);
  instances = found();
  devices = await Promise.all(Array.from({ length: senders }, (_, i) => own.device(`user${i}`)));
});
afterAll(async () => {
  await Promise.all((devices ?? []).map(({ client }) => client.close()));
  await mesh?.close();
  await own?.stop();
});

/** A text, and what a device does with it until it is acknowledged. */
interface Text {
  channelId: string;
  clientMessageId: string;
  text: string;
  sender: Device;
}

/** Sends through one of the two, and where that refuses, through the other, in turn. */
async function send({ sender, ...request }: Text, first: number): Promise<SendMessageResponse> {
  const identity = { userId: sender.userId, deviceId: sender.signIn.deviceId };
  for (let tries = 0; ; tries++) {
    const instanceId = instances[(first + tries) % instances.length]!;
    try {
      const { sendMessage } = MessageService.method;
      return await mesh.callInstance(instanceId, sendMessage, request, { identity });
    } catch (error) {
      if ((error as RpcError).code !== Code.UNAVAILABLE || tries === triesMax) throw error;
    }
  }
}

async function logOf(channelId: string, stream: Stream): Promise<Message[]> {
  const messages: Message[] = [];
  for await (const stored of entriesOf(channelId, stream, 1)) {
    for (const { item } of decode(stored).items) {
      if (item.case === "message") messages.push(item.value);
    }
  }
  return messages;
}

/** Where a message stands. */
function place(of: Pick<Message, "messageId" | "prevMessageId" | "channelSequence">) {
  const { messageId, prevMessageId, channelSequence } = of;
  return { messageId, prevMessageId, channelSequence };
}

describe("two owners of one channel", () => {
  it("[M5] [M6] [M7] [D3] make one order of what several send through both at once", async () => {
    const [ann, ...others] = devices as [Device, ...Device[]];
    const channelId = await ann.createGroup(others);
    const ids = new UuidV7();
    const acknowledged = new Map<string, { text: Text; result: SendMessageResponse }>();

    const lane = async (sender: Device, n: number) => {
      for (let round = 0; round < roundsEach; round++) {
        const clientMessageId = ids.next(clock.nowMs());
        const text = { channelId, clientMessageId, text: `lane ${n}, ${round}`, sender };
        // Every third goes to both at the same time, as after a re-hash in the middle of a send.
        const firsts = round % 3 === 0 ? [0, 1] : [n + round];
        const results = await Promise.all(firsts.map((first) => send(text, first)));
        for (const result of results) expect(place(result)).toEqual(place(results[0]!));
        acknowledged.set(clientMessageId, { text, result: results[0]! });
      }
    };
    await Promise.all(
      devices.flatMap((sender, i) =>
        Array.from({ length: lanes }, (_, n) => lane(sender, i * lanes + n)),
      ),
    );
    expect(acknowledged.size).toBe(senders * lanes * roundsEach);

    const { log: stream } = await own.streams();
    const all = await logOf(channelId, stream);
    expect(all).toHaveLength(1 + acknowledged.size);
    expect(all.map(({ channelSequence }) => channelSequence)).toEqual(all.map((_, i) => i + 1));
    all.forEach((message, i) => {
      const before = all[i - 1]?.messageId ?? 0n;
      expect(message.prevMessageId).toBe(before);
      expect(message.messageId).toBeGreaterThan(before);
    });
    for (const message of all.slice(1)) {
      const { text, result } = acknowledged.get(message.clientMessageId)!;
      expect(place(message)).toEqual(place(result));
      expect(message.senderId).toBe(text.sender.userId);
      expect(message.body).toEqual({ case: "text", value: text.text });
    }
    // What one device says in one lane stands in its order.
    for (let n = 0; n < senders * lanes; n++) {
      const said = all.flatMap(({ body }) =>
        body.case === "text" && body.value.startsWith(`lane ${n},`) ? [body.value] : [],
      );
      expect(said).toEqual(Array.from({ length: roundsEach }, (_, round) => `lane ${n}, ${round}`));
    }

    // Sent again through each of them, each is what it was the first time.
    await Promise.all(
      [...acknowledged.values()].map(async ({ text, result }, i) => {
        expect(place(await send(text, i))).toEqual(place(result));
        expect(place(await send(text, i + 1))).toEqual(place(result));
      }),
    );
    expect(await logOf(channelId, stream)).toHaveLength(all.length);

    const order = all.map(({ messageId }) => messageId);
    for (const device of devices) {
      await device.until(() => device.told(channelId).length >= order.length);
      expect(device.told(channelId).map(({ messageId }) => messageId)).toEqual(order);
    }
    const store = await own.messageStore();
    await vi.waitFor(async () => {
      const kept = await store.listMessages({ channelId, newestFirst: false, limit: 1_000 });
      expect(kept.map(({ message }) => message.messageId)).toEqual(order);
    }, eventually);
  });
});
