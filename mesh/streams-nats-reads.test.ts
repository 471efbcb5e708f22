/** What is taken of the answers of replicas that lag, or of which a part is missing. */
import type { Msg } from "@nats-io/transport-node";
import { describe, expect, it } from "vitest";
import { systemClock } from "./clock.ts";
import { StreamUnavailable } from "./streams.ts";
import { readBounds } from "./streams-input.ts";
import type { NatsLink } from "./streams-nats-link.ts";
import { NatsReads } from "./streams-nats-reads.ts";

const subject = "log.0.a";
/** The sequences of the subject that the leader has. */
const atLeader = [3, 5, 8, 9];

/** Reads of a stream with three replicas, of which direct gets show what `replica` says. */
function setUp(replica: (ask: number) => { shown: readonly number[]; dropped?: number }) {
  const asked = { replica: 0, leader: 0 };
  const link = {
    clock: systemClock,
    async request(to: string, data: string, onPart?: (part: Msg) => void): Promise<Msg> {
      const request = JSON.parse(data || "{}");
      if (to.startsWith("$JS.API.STREAM.MSG.GET.")) {
        asked.leader++;
        const seq = request.last_by_subj
          ? atLeader.at(-1)!
          : atLeader.find((each) => each >= request.seq);
        const message = seq && { subject, seq, data: "", time: "2026-01-01T00:00:00Z" };
        const answer = message ? { message } : { error: { err_code: 10037, description: "none" } };
        return { json: () => answer } as Msg;
      }
      const { shown, dropped } = replica(asked.replica++);
      const found = shown.filter((each) => each >= request.seq);
      if (found.length === 0) return message("404 Message Not Found", {});
      const sent = found.slice(0, request.batch);
      let last = 0;
      for (const sequence of sent) {
        const headers = { "Nats-Sequence": sequence, "Nats-Last-Sequence": last };
        if (sequence !== dropped) onPart!(message("", headers));
        last = sequence;
      }
      const pending = found.length - sent.length;
      return message("204 EOB", { "Nats-Num-Pending": pending, "Nats-Last-Sequence": last });
    },
  };
  const reads = new NatsReads(link as unknown as NatsLink, "LOG-0", "log.0.", 3);
  const read = async (options: object = {}) => {
    const page = await reads.page(subject, readBounds({ fromLeader: true, ...options }));
    return [page.entries.map(({ sequence }) => sequence), page.more];
  };
  return { read, asked };
}

function message(status: string, headers: Record<string, number>): Msg {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const bytes = Buffer.from(`NATS/1.0 ${status}`.trimEnd().concat("\r\n", ...lines, "\r\n"));
  return { _rdata: bytes, _msg: { hdr: bytes.length }, data: new Uint8Array() } as unknown as Msg;
}

describe("a read from the leader", () => {
  it("[M6] takes a replica's answer if it reaches the leader's last entry", async () => {
    const { read, asked } = setUp(() => ({ shown: atLeader }));
    expect(await read()).toEqual([[3, 5, 8, 9], false]);
    expect(await read({ fromSequence: 10 })).toEqual([[], false]);
    expect(asked).toEqual({ replica: 1, leader: 2 });
  });

  it("[M6] asks again while the replica lags", async () => {
    const { read, asked } = setUp((ask) => ({ shown: atLeader.slice(0, 2 + ask) }));
    expect(await read()).toEqual([[3, 5, 8, 9], false]);
    expect(asked).toEqual({ replica: 3, leader: 3 });
  });

  it("[M6] asks the leader for each entry where the replica goes on lagging", async () => {
    for (const shown of [[], [3, 5]]) {
      const { read } = setUp(() => ({ shown }));
      expect(await read({ fromSequence: 4 })).toEqual([[5, 8, 9], false]);
      expect(await read({ fromSequence: 4, toSequence: 8 })).toEqual([[5, 8], false]);
      expect(await read({ limit: 3 })).toEqual([[3, 5, 8], true]);
    }
  });

  it("[M6] needs no more of a replica than the page has", async () => {
    const { read, asked } = setUp(() => ({ shown: [3, 5, 8] }));
    expect(await read({ limit: 2 })).toEqual([[3, 5], true]);
    expect(await read({ toSequence: 5 })).toEqual([[3, 5], false]);
    expect(asked.replica).toBe(2);
  });

  it("[M6] says that there is more where the replica has no more than the page", async () => {
    const { read, asked } = setUp(() => ({ shown: [3, 5] }));
    expect(await read({ limit: 2 })).toEqual([[3, 5], true]);
    expect(await read({ limit: 2, toSequence: 5 })).toEqual([[3, 5], false]);
    expect(asked.replica).toBe(2);
  });

  it("[M6] fails where a part of the answer is missing", async () => {
    for (const dropped of [3, 8, 9]) {
      const { read } = setUp(() => ({ shown: atLeader, dropped }));
      await expect(read()).rejects.toBeInstanceOf(StreamUnavailable);
    }
  });
});
