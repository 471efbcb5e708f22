import { describe, expect, it } from "vitest";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { connected, openFixture, settled } from "./client-fixture.ts";
import { FakeEdge } from "./edge-fake.ts";

const channelId = "g-1";

/** A connected client in a channel with one text. */
async function start() {
  const edge = new FakeEdge();
  const fixture = await connected(
    await openFixture(edge, new ManualClock(), { checkIntervalMs: 0 }),
  );
  edge.createChannel(channelId);
  const message = edge.text(channelId, "first");
  await fixture.pass(3_000);
  /** What the events have told of messages, by the sequence of the change. */
  const revised = () =>
    fixture.events.flatMap(({ name, value }) => {
      if (name !== "revised") return [];
      return [[value.channelSequence, value.message?.body.value]];
    });
  const recent = () => fixture.client.recent(channelId).map(({ body }) => body.value);
  return { edge, message, revised, recent, ...fixture };
}

describe("a device and the revisions of messages", () => {
  it("[M9] tells of one when it comes, and has the message as it is now", async () => {
    const { edge, message, revised, recent, texts } = await start();
    edge.edit(message, "second");
    edge.text(channelId, "next");
    await settled();
    expect(revised()).toEqual([[3, "second"]]);
    expect(recent().slice(1)).toEqual(["second", "next"]);
    expect(texts(channelId)).toEqual(["first", "next"]);
    expect(edge.calls).not.toContain("ListMessages");
  });

  it("[M9] reads the message where the inbox does not say what it is now", async () => {
    const { edge, message, revised, recent, pass } = await start();
    edge.edit(message, "long", { withoutBody: true });
    await pass(1_000);
    expect(revised()).toEqual([[3, "long"]]);
    expect(recent().slice(1)).toEqual(["long"]);
  });

  it("[S3] [M9] a message that was held back is told of as it is by then", async () => {
    const { edge, recent, texts, pass } = await start();
    const missed = edge.text(channelId, "missed", { skipInbox: true });
    edge.degradedBelow = missed.messageId + 1n;
    const held = edge.text(channelId, "held");
    await settled();
    edge.edit(held, "held, and edited", { skipInbox: true });
    edge.degradedBelow = 0n;
    await pass(31_000);
    expect(texts(channelId)).toEqual(["first", "missed", "held, and edited"]);
    expect(recent().slice(1)).toEqual(["first", "missed", "held, and edited"]);
  });

  it("[S3] [M9] finds those that the inbox left out, and nothing comes twice", async () => {
    const { edge, message, revised, recent, texts, pass } = await start();
    edge.edit(message, "second", { skipInbox: true });
    edge.text(channelId, "missed", { skipInbox: true });
    edge.edit(message, "third", { skipInbox: true });
    edge.text(channelId, "next");
    await pass(2_000);
    expect(revised()).toEqual([[5, "third"]]);
    expect(recent().slice(1)).toEqual(["third", "missed", "next"]);
    expect(texts(channelId)).toEqual(["first", "missed", "next"]);
    edge.edit(message, "fourth");
    await pass(2_000);
    expect(revised()).toEqual([
      [5, "third"],
      [7, "fourth"],
    ]);
    expect(edge.calls.filter((call) => call === "ListRevisedMessages")).toHaveLength(1);
  });

  it("[S4] [M9] knows after a reset which of its messages were revised", async () => {
    const { edge, message, revised, recent, texts, pass } = await start();
    edge.cut();
    edge.edit(message, "second");
    edge.text(channelId, "missed");
    edge.trimmedTo = edge.inbox.length;
    await pass(3_000);
    expect(revised()).toEqual([[3, "second"]]);
    expect(recent().slice(1)).toEqual(["second", "missed"]);
    edge.text(channelId, "next");
    await settled();
    expect(texts(channelId)).toEqual(["first", "missed", "next"]);
    expect(edge.calls).not.toContain("ListRevisedMessages");
  });

  it("[M9] is not put back by a page of history that was read before", async () => {
    const { edge, message, recent, client } = await start();
    const page = client.history(channelId);
    await settled();
    edge.edit(message, "second");
    await settled();
    await page;
    expect(recent().slice(1)).toEqual(["second"]);
  });
});
