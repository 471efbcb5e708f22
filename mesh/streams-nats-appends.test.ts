/** What becomes of an append, by what the server answers. */
import type { Msg } from "@nats-io/transport-node";
import { describe, expect, it } from "vitest";
import { ManualClock } from "./clock-manual.ts";
import {
  type AppendOptions,
  AppendOutcomeUnknown,
  StreamUnavailable,
  WrongLastSequence,
} from "./streams.ts";
import { NatsAppends } from "./streams-nats-appends.ts";
import type { AnswerHandler, NatsLink } from "./streams-nats-link.ts";

interface Sent {
  subject: string;
  data: string;
  headers: string;
  handler: AnswerHandler;
}

/** Appends over a link that a test answers by hand. */
function setUp() {
  const clock = new ManualClock();
  const sent: Sent[] = [];
  const link = {
    isUp: true,
    clock,
    timeoutMs: 5_000,
    checkUp() {
      if (!link.isUp) throw new StreamUnavailable("NATS is away");
    },
    ask(subject: string, data: Uint8Array, handler: AnswerHandler, headers?: Uint8Array) {
      link.checkUp();
      const text = (bytes?: Uint8Array) => Buffer.from(bytes ?? []).toString();
      sent.push({ subject, data: text(data), headers: text(headers), handler });
    },
  };
  const settling = Promise.withResolvers<void>();
  const appends = new NatsAppends(link as unknown as NatsLink, () => settling.promise);
  const add = (data: string, options: AppendOptions = {}) =>
    appends.add("log.0.a", Buffer.from(data), options);
  return { clock, link, sent, add, appends, settling };
}

function message(headers: string, data: string): Msg {
  const bytes = Buffer.from(headers + data);
  const hdr = headers === "" ? -1 : headers.length;
  return { _rdata: bytes, _msg: { hdr }, string: () => data } as unknown as Msg;
}

const acknowledged = (seq: number) => message("", JSON.stringify({ stream: "LOG-0", seq }));
const refused = (err_code: number, description = "no") =>
  message("", JSON.stringify({ error: { code: 400, err_code, description }, seq: 0 }));

describe("an append to NATS", () => {
  it.each([
    [10071, "wrong last sequence: 4", WrongLastSequence],
    [10077, "maximum bytes exceeded", StreamUnavailable],
    [10077, "write /data/1.blk: input/output error", AppendOutcomeUnknown],
    [10167, "too many requests", StreamUnavailable],
    [10008, "JetStream system temporarily unavailable", StreamUnavailable],
    [10158, "duplicate message id is in process", AppendOutcomeUnknown],
    [19999, "an error of tomorrow", AppendOutcomeUnknown],
  ])("[M6] that is refused with %i (%s) fails with the port's error", async (code, text, kind) => {
    const { sent, add } = setUp();
    const appended = add("1", { expectedLastSequence: 3 });
    sent[0]!.handler.answer(refused(code, text));
    await expect(appended).rejects.toBeInstanceOf(kind);
  });

  it("[M6] that another one under way keeps out fails when the leader shows that one", async () => {
    const { sent, add, settling } = setUp();
    let failed = false;
    const appended = add("1", { expectedLastSequence: 3 }).catch((error) => {
      failed = true;
      return error;
    });
    sent[0]!.handler.answer(refused(10164));
    await new Promise((resolve) => setImmediate(resolve));
    expect(failed).toBe(false);
    settling.resolve();
    expect(await appended).toBeInstanceOf(WrongLastSequence);
  });

  it("[M6] that no stream takes, or that is not sent, has not happened", async () => {
    const { link, sent, add } = setUp();
    const appended = add("1");
    sent[0]!.handler.answer(message("NATS/1.0 503\r\n\r\n", ""));
    await expect(appended).rejects.toBeInstanceOf(StreamUnavailable);
    link.isUp = false;
    await expect(add("2")).rejects.toBeInstanceOf(StreamUnavailable);
    expect(sent).toHaveLength(1);
  });

  it("[M6] that is sent and not answered, or with what is not understood, may have happened", async () => {
    const { sent, add } = setUp();
    const outcomes = [add("1"), add("2"), add("3")].map((each) => each.catch((error) => error));
    sent[0]!.handler.lost("no answer within 5000 ms");
    sent[1]!.handler.answer(message("", "?"));
    sent[2]!.handler.answer(message("", "{}"));
    for (const each of await Promise.all(outcomes)) {
      expect(each).toBeInstanceOf(AppendOutcomeUnknown);
    }
  });

  it("[R1] waits while 1,024 have no answer, and goes in the order of the calls", async () => {
    const { sent, add } = setUp();
    const outcomes = Array.from({ length: 3_000 }, (_, i) => add(`${i}`));
    expect(sent).toHaveLength(1_024);
    for (let i = 0; i < 3_000; i++) sent[i]!.handler.answer(acknowledged(i + 1));
    expect(await Promise.all(outcomes)).toEqual(outcomes.map((_, i) => i + 1));
    expect(sent.map(({ data }) => data)).toEqual(outcomes.map((_, i) => `${i}`));
  });

  it("[R1] is refused where too much waits, and fails unsent where it waits too long", async () => {
    const { clock, sent, add } = setUp();
    const large = "x".repeat(1_000_000);
    const outcomes = Array.from({ length: 100 }, () => add(large).catch((error) => error));
    const under = sent.length;
    await expect(outcomes.at(-1)).resolves.toBeInstanceOf(StreamUnavailable);
    clock.advance(6_000);
    for (const { handler } of [...sent]) handler.lost("no answer within 5000 ms");
    const results = await Promise.all(outcomes);
    expect(results.slice(0, under).every((e) => e instanceof AppendOutcomeUnknown)).toBe(true);
    expect(results.slice(under).every((e) => e instanceof StreamUnavailable)).toBe(true);
    expect(sent).toHaveLength(under);
  });

  it("[M6] when the connection breaks is unknown if it was sent, and not done if it waited", async () => {
    const { link, sent, add, appends } = setUp();
    const outcomes = Array.from({ length: 2_000 }, () => add("x").catch((error) => error));
    link.isUp = false;
    for (const { handler } of [...sent]) handler.lost("the connection broke");
    const results = await Promise.all(outcomes);
    expect(results.filter((e) => e instanceof AppendOutcomeUnknown)).toHaveLength(1_024);
    expect(results.filter((e) => e instanceof StreamUnavailable)).toHaveLength(2_000 - 1_024);
    expect(appends.unknown).toBe(1_024);
    await appends.idle();
  });

  it("[M5] carries any dedupe id in one visible line, different ones differently", () => {
    const { sent, add } = setUp();
    const ids = ["e/1-2/0/ann", "a\r\nNats-Sequence: 7", "a b", "é", "=YQA", "a", "\ud800"];
    for (const dedupeId of ids) add("x", { dedupeId }).catch(() => {});
    const lines = sent.map(({ headers }) => headers);
    for (const each of lines) expect(each).toMatch(/^NATS\/1\.0\r\nNats-Msg-Id: [!-~]+\r\n\r\n$/);
    expect(new Set(lines).size).toBe(ids.length);
  });
});
