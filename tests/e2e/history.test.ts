import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  errorReason,
  type HistoryRequest,
  type Message,
  MessageKind,
  MessageOrder,
  MessageService,
} from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { type Device, newDevices } from "./device.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const { NEWEST_FIRST, OLDEST_FIRST } = MessageOrder;
/** Texts in the channel: a few pages of the largest size. */
const texts = 450;

describe("a channel's history over HTTP", () => {
  let parley: ParleyUnderTest;
  let ann: Device;
  let ben: Device;
  let channelId: string;
  let http: Client<typeof MessageService>;
  /** What the channel holds, as a device was told. */
  let all: Message[];

  beforeAll(async () => {
    parley = await openParley();
    const [first, second, third] = (await newDevices(parley.nextUrl, "ann", "ben", "cleo")) as [
      Device,
      Device,
      Device,
    ];
    [ann, ben] = [first, second];
    channelId = await ann.createGroup([ben]);
    const halves = [ann, ben].map((device) =>
      Array.from(
        { length: texts / 2 },
        (_, at) => device.client.send(channelId, `text ${at}`).result,
      ),
    );
    await Promise.all(halves.flat());
    const clientMessageId = ann.client.newClientMessageId();
    await ann.calls.addMembers({ channelId, clientMessageId, userIds: [third.userId] });
    await third.client.close();
    await ann.until(() => ann.told(channelId).length === texts + 2);
    all = ann.told(channelId);
    http = ann.http(MessageService);
  });
  afterAll(() => parley.stop());

  const ids = (messages: readonly Message[]) => messages.map(({ messageId }) => messageId);
  const list = (request: HistoryRequest) => http.listMessages({ channelId, ...request });

  /** All pages from the first on, each in its order. */
  async function pages(request: HistoryRequest): Promise<Message[][]> {
    const found: Message[][] = [];
    for (let pageToken = ""; ; ) {
      const page = await list({ ...request, pageToken });
      found.push(page.messages);
      expect(page.degraded).toBe(false);
      if (page.nextPageToken === "") return found;
      pageToken = page.nextPageToken;
    }
  }

  it("[H2] is the same in both directions, at any size of page, and what devices were told", async () => {
    const expected = ids(all);
    for (const pageSize of [1_000, 200, 64]) {
      const oldestFirst = await pages({ order: OLDEST_FIRST, pageSize });
      expect(ids(oldestFirst.flat())).toEqual(expected);
      expect(oldestFirst[0]).toHaveLength(Math.min(pageSize, 200));
      const newestFirst = await pages({ order: NEWEST_FIRST, pageSize });
      expect(ids(newestFirst.flat())).toEqual(expected.toReversed());
    }
    expect((await list({})).messages).toHaveLength(50);
    expect(await list({ pageSize: -1 }).catch(errorReason)).toBe("FIELD_INVALID");
    expect(await list({ pageToken: "forged" }).catch(errorReason)).toBe("FIELD_INVALID");
  });

  it("[H2] [M7] shows each message as it was told, chained to the one before it", async () => {
    const shown = (await pages({ order: OLDEST_FIRST, pageSize: 200 })).flat();
    expect(shown).toEqual(all);
    expect(shown.map(({ channelSequence }) => channelSequence)).toEqual(
      shown.map((_, at) => at + 1),
    );
    expect(shown.map(({ prevMessageId }) => prevMessageId)).toEqual([
      0n,
      ...ids(shown).slice(0, -1),
    ]);
  });

  it("[H2] is turned back, page by page", async () => {
    const first = await list({ order: OLDEST_FIRST, pageSize: 100 });
    const second = await list({
      order: OLDEST_FIRST,
      pageSize: 100,
      pageToken: first.nextPageToken,
    });
    expect(ids(second.messages)).toEqual(ids(all.slice(100, 200)));
    const back = await list({
      order: OLDEST_FIRST,
      pageSize: 100,
      pageToken: second.previousPageToken,
    });
    expect(ids(back.messages)).toEqual(ids(first.messages));
    expect(first.previousPageToken).toBe("");
  });

  it.each([0, 1, 200, 449, 451])(
    "[H3] is opened around message %i of 452, wherever that lies",
    async (at) => {
      const around = all[at]!.messageId;
      const page = await list({
        order: OLDEST_FIRST,
        pageSize: 21,
        start: { case: "aroundMessageId", value: around },
      });
      const begin = Math.max(0, at - 10);
      expect(ids(page.messages)).toContain(around);
      expect(ids(page.messages)).toEqual(ids(all.slice(begin, begin + page.messages.length)));
      expect(page.messages.length).toBeGreaterThan(10);
      if (page.nextPageToken) {
        const next = await list({
          order: OLDEST_FIRST,
          pageSize: 5,
          pageToken: page.nextPageToken,
        });
        const end = begin + page.messages.length;
        expect(ids(next.messages)).toEqual(ids(all.slice(end, end + 5)));
      } else {
        expect(page.messages.at(-1)).toEqual(all.at(-1));
      }
    },
  );

  it("[H3] is read before and after a message", async () => {
    const { messageId: value } = all[100]!;
    const before = await list({ pageSize: 10, start: { case: "beforeMessageId", value } });
    expect(ids(before.messages)).toEqual(ids(all.slice(90, 100)).reverse());
    const after = await list({
      pageSize: 10,
      order: OLDEST_FIRST,
      start: { case: "afterMessageId", value },
    });
    expect(ids(after.messages)).toEqual(ids(all.slice(101, 111)));
  });

  it("[H2] is filtered by sender, by kind and by time", async () => {
    const filtered = async (request: HistoryRequest) =>
      ids((await pages({ order: OLDEST_FIRST, pageSize: 50, ...request })).flat());
    const where = (isIn: (message: Message) => boolean) => ids(all.filter(isIn));

    expect(await filtered({ senderId: ben.userId })).toEqual(
      where(({ senderId }) => senderId === ben.userId),
    );
    expect(await filtered({ kind: MessageKind.MEMBERSHIP_CHANGE })).toEqual([
      all[0]!.messageId,
      all.at(-1)!.messageId,
    ]);
    expect(await filtered({ kind: MessageKind.TEXT, senderId: ann.userId })).toHaveLength(
      texts / 2,
    );

    const timeMs = (message: Message) => timestampMs(message.sendTime!);
    const [minMs, maxMs] = [timeMs(all[150]!), timeMs(all[300]!)];
    const during = await filtered({
      minTime: timestampFromMs(minMs),
      maxTime: timestampFromMs(maxMs),
    });
    expect(during).toEqual(where((message) => timeMs(message) >= minMs && timeMs(message) < maxMs));
    const [minTime, maxTime] = [timestampFromMs(maxMs), timestampFromMs(minMs)];
    expect(await list({ minTime, maxTime }).catch(errorReason)).toBe("FIELD_INVALID");
  });

  it("[H6] has a message in the next page as soon as it is acknowledged, every time", async () => {
    const direct = await ann.openDirect(ben);
    for (let n = 0; n < 200; n++) {
      const sender = n % 2 === 0 ? ann : ben;
      const messageId = await sender.say(direct, `text ${n}`);
      const page = await http.listMessages({ channelId: direct, pageSize: 1 });
      expect(ids(page.messages)).toEqual([messageId]);
    }
  });
});
