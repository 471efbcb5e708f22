import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Status } from "../../gen/parley/presence/v1/presence_pb.js";
import { PushFixture, targetOf } from "./push-fixture.ts";

const { ONLINE, UNSPECIFIED } = Status;

let push: PushFixture;
beforeEach(() => {
  push = new PushFixture();
  push.start();
});
afterEach(() => push.stop());

describe("when a text falls due", () => {
  it("[N1] is 5 s after it was sent for who is offline, and the checkpoint waits for it", async () => {
    const batch = await push.give(push.text("d-1", "ann", "hello", "ben"));
    await push.pass(4_750);
    expect(push.shown()).toEqual([]);
    expect(batch.isDone).toBe(false);
    await push.pass(500);
    expect(push.shown()).toEqual(["ben: hello"]);
    expect(batch.isDone).toBe(true);
    await push.pass(60_000);
    expect(push.shown()).toHaveLength(1);
  });

  it("[N1] is after the grace time for who seems online, where nothing was received", async () => {
    push.statuses.set("ben", ONLINE);
    await push.give(push.text("d-1", "ann", "hello", "ben"));
    await push.pass(29_500);
    expect(push.shown()).toEqual([]);
    await push.pass(1_000);
    expect(push.shown()).toEqual(["ben: hello"]);
  });

  it("[N1] [R2] is after the grace time where Presence can't tell, or is away", async () => {
    push.statuses.set("ben", UNSPECIFIED);
    await push.give(push.text("d-1", "ann", "to ben", "ben"));
    push.away.presence = true;
    await push.give(push.text("d-2", "ann", "to cid", "cid"));
    await push.pass(29_500);
    expect(push.shown()).toEqual([]);
    await push.pass(1_000);
    expect(push.shown().sort()).toEqual(["ben: to ben", "cid: to cid"]);
  });

  it("[N1] was long ago for what is read late: who is offline is notified at once", async () => {
    const text = push.text("d-1", "ann", "hello", "ben");
    await push.pass(60_000);
    await push.give(text);
    await push.pass(500);
    expect(push.shown()).toEqual(["ben: hello"]);
  });
});

describe("a service that is slow", () => {
  let answer: () => void;
  beforeEach(() => {
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    push.whileSent = ({ deviceId }) => (deviceId.includes("slow") ? answered : Promise.resolve());
  });

  it("[N1] holds up nobody else, not even who is decided about at the same time", async () => {
    const slow = Array.from({ length: 850 }, (_, i) => `slow${i}`);
    const batch = await push.give(push.text("g-1", "ann", "hello", ...slow, "ben"));
    await push.pass(8_000);
    expect(push.shown()).toContain("ben: hello");
    expect(push.shown()).toHaveLength(851);
    expect(batch.isDone).toBe(false);
    answer();
    await push.pass(250);
    expect(batch.isDone).toBe(true);
  });

  it("[N1] holds up no other device of the same user", async () => {
    const targets = [targetOf("ben", "slow"), targetOf("ben", "laptop")];
    push.recipients.set("d-1 ben", { targets, previews: true });
    await push.give(push.text("d-1", "ann", "hello", "ben"));
    await push.pass(6_000);
    expect(push.notifications.map(({ target }) => target.deviceId)).toEqual([
      "ben-slow",
      "ben-laptop",
    ]);
    answer();
  });
});

describe("nobody is notified", () => {
  it("[N1] of what any device has received, nor the sender", async () => {
    push.statuses.set("ben", ONLINE);
    const text = push.text("d-1", "ann", "hello", "ben");
    const batch = await push.give(text);
    push.received.set("d-1 ben", text.messageId);
    await push.pass(60_000);
    expect(push.shown()).toEqual([]);
    expect(batch.isDone).toBe(true);
    expect(await push.count("parley_push_ended_total")).toEqual({ received: 1 });
  });

  it("[N1] who comes back and receives it before it is due", async () => {
    const text = push.text("d-1", "ann", "hello", "ben");
    await push.give(text);
    await push.pass(3_000);
    push.statuses.set("ben", ONLINE);
    push.received.set("d-1 ben", text.messageId);
    await push.pass(60_000);
    expect(push.shown()).toEqual([]);
  });

  it("[N2] who mutes the channel, wants no disturbance, or has no device for it", async () => {
    push.recipients.set("d-1 ben", { targets: [], previews: true });
    const batch = await push.give(push.text("d-1", "ann", "hello", "ben"));
    await push.pass(10_000);
    expect(push.shown()).toEqual([]);
    expect(batch.isDone).toBe(true);
    expect(await push.count("parley_push_ended_total")).toEqual({ unwanted: 1 });
  });

  it("[A2] of texts by whom they have blocked; of others that came before they are", async () => {
    push.blocks.add("ben cid").add("dan cid").add("dan ann");
    await push.give(push.text("g-1", "ann", "hello", "ben", "dan"));
    const batch = await push.give(push.text("g-1", "cid", "psst", "ben", "dan"));
    await push.pass(10_000);
    expect(push.shown()).toEqual(["ben: hello"]);
    expect(batch.isDone).toBe(true);
    expect(await push.count("parley_push_ended_total")).toEqual({ unwanted: 1 });
  });

  it("[N1] who has left the channel, or has written in it, since", async () => {
    await push.give(push.text("g-1", "ann", "hello", "ben", "cid", "dan"));
    await push.give({ kind: "departure", channelId: "g-1", userIds: ["ben"] });
    await push.give(push.text("g-1", "cid", "hello you", "ann", "dan"));
    await push.pass(20_000);
    expect(push.shown().sort()).toEqual(["ann: hello you", "dan: hello you"]);
  });

  it("[N1] who were in a group that was deleted since", async () => {
    const batch = await push.give(push.text("g-1", "ann", "hello", "ben", "cid"));
    await push.give({ kind: "departure", channelId: "g-1", userIds: "everybody" });
    await push.pass(20_000);
    expect(push.shown()).toEqual([]);
    expect(batch.isDone).toBe(true);
  });

  it("[N1] of a text that was deleted; of one that was edited they are shown the new one", async () => {
    const [first, second] = [
      push.text("d-1", "ann", "helo", "ben"),
      push.text("d-2", "ann", "secret", "ben"),
    ];
    const batch = await push.give(first, second);
    const edit = { kind: "revision", channelId: "d-1", messageId: first.messageId } as const;
    const deletion = { kind: "revision", channelId: "d-2", messageId: second.messageId } as const;
    await push.give({ ...edit, text: "hello" }, { ...deletion, text: undefined });
    await push.pass(10_000);
    expect(push.shown()).toEqual(["ben: hello"]);
    expect(batch.isDone).toBe(true);
  });

  it("[N1] later than a day after the text, and texts as old as that are passed over", async () => {
    push.away.session = true;
    const batch = await push.give(push.text("d-1", "ann", "hello", "ben"));
    for (let hours = 0; hours < 25; hours++) {
      push.clock.advance(3_600_000);
      await push.pass(500);
    }
    push.away.session = false;
    await push.pass(600_000);
    expect(push.shown()).toEqual([]);
    expect(batch.isDone).toBe(true);
    const old = { ...push.text("d-2", "ann", "old", "ben"), sendTimeMs: 0 };
    expect((await push.give(old)).isDone).toBe(true);
  });
});

describe("the texts of a channel", () => {
  it("[N1] are one notification, with the newest, until it is due", async () => {
    await push.give(push.text("d-1", "ann", "one", "ben"));
    await push.pass(2_000);
    const batch = await push.give(push.text("d-1", "ann", "two", "ben"));
    await push.pass(3_500);
    expect(push.shown()).toEqual(["ben: two"]);
    expect(batch.isDone).toBe(true);
    await push.give(push.text("d-1", "ann", "three", "ben"));
    await push.pass(6_000);
    expect(push.shown()).toEqual(["ben: two", "ben: three"]);
    expect(new Set(push.notifications.map(({ collapseId }) => collapseId))).toEqual(
      new Set(["d-1"]),
    );
  });

  it.each([1, 0])(
    "[N1] are another notification's where they come while one is decided on, for %d devices",
    async (devices) => {
      const recipient = { targets: [targetOf("ben")].slice(0, devices), previews: true };
      push.recipients.set("d-1 ben", recipient);
      push.whileAsked = async () => {
        push.whileAsked = async () => push.recipients.delete("d-1 ben");
        await push.give(push.text("d-1", "ann", "two", "ben"));
      };
      await push.give(push.text("d-1", "ann", "one", "ben"));
      await push.pass(15_000);
      expect(push.shown()).toEqual(["ben: one", "ben: two"].slice(-1 - devices));
    },
  );

  it("[N1] count on their own where the member has received the first of them", async () => {
    push.statuses.set("ben", ONLINE);
    const one = push.text("d-1", "ann", "one", "ben");
    await push.give(one);
    await push.pass(29_000);
    push.received.set("d-1 ben", one.messageId);
    push.statuses.delete("ben");
    await push.give(push.text("d-1", "ann", "two", "ben"));
    await push.pass(4_500);
    expect(push.shown()).toEqual([]);
    await push.pass(1_500);
    expect(push.shown()).toEqual(["ben: two"]);
  });

  it("[N1] cost an online member two questions in a grace time, however many they are", async () => {
    push.statuses.set("ben", ONLINE);
    for (let second = 0; second < 29; second++) {
      const text = push.text("d-1", "ann", "again", "ben");
      await push.give(text);
      push.received.set("d-1 ben", text.messageId);
      await push.pass(1_000);
    }
    await push.pass(10_000);
    expect(push.shown()).toEqual([]);
    expect(push.asked).toEqual({ statuses: 1, received: 1 });
  });

  it("[N1] [G3] of a LIVE channel concern whom they mention, and who is connected has them", async () => {
    push.statuses.set("ben", ONLINE);
    const mention = () => ({ ...push.text("g-1", "ann", "@ben @cid", "ben", "cid"), isLive: true });
    await push.give(mention());
    await push.give({ ...push.text("g-1", "ann", "@dan", "dan"), isLive: true });
    await push.pass(40_000);
    expect(push.shown().sort()).toEqual(["cid: @ben @cid", "dan: @dan"]);
  });
});

describe("a notification", () => {
  it("[N1] says who wrote, where and what, counts what is unread, and ends a day later", async () => {
    const text = push.text("g-1", "ann", `${"é".repeat(150)}${"🙂".repeat(100)}`, "ben");
    await push.give(text);
    await push.pass(6_000);
    expect(push.notifications).toEqual([
      {
        target: targetOf("ben"),
        channelId: "g-1",
        messageId: text.messageId,
        collapseId: "g-1",
        title: "ANN · Team",
        body: `${"é".repeat(150)}${"🙂".repeat(49)}…`,
        badge: 7,
        expireTimeMs: text.sendTimeMs + push.config.expiryMs,
      },
    ]);
  });

  it("[N2] has no text where the user wants no previews", async () => {
    push.recipients.set("d-1 ben", { targets: [targetOf("ben")], previews: false });
    await push.give(push.text("d-1", "ann", "secret", "ben"));
    await push.pass(6_000);
    expect(push.notifications).toMatchObject([{ title: "ANN" }]);
    expect(push.notifications[0]).not.toHaveProperty("body");
  });

  it("[N1] goes to every device, and again to those alone that were not reached", async () => {
    const targets = [targetOf("ben", "phone"), targetOf("ben", "tablet")];
    push.recipients.set("d-1 ben", { targets, previews: true });
    push.outcomes.push({ outcome: "sent" }, { outcome: "retry", afterMs: 20_000 });
    const batch = await push.give(push.text("d-1", "ann", "hello", "ben"));
    await push.pass(24_500);
    expect(push.notifications).toHaveLength(2);
    expect(batch.isDone).toBe(false);
    await push.pass(1_500);
    const devices = push.notifications.map(({ target }) => target.deviceId);
    expect(devices).toEqual(["ben-phone", "ben-tablet", "ben-tablet"]);
    expect(batch.isDone).toBe(true);
  });

  it("[N1] is tried again with growing pauses, and cancelled by what was received meanwhile", async () => {
    push.outcomes.push(...Array.from({ length: 4 }, () => ({ outcome: "retry" }) as const));
    const text = push.text("d-1", "ann", "hello", "ben");
    await push.give(text);
    await push.pass(5_250);
    const counts: number[] = [];
    for (const pauseMs of [1_000, 2_000, 4_000]) {
      await push.pass(pauseMs + 250);
      counts.push(push.notifications.length);
    }
    expect(counts).toEqual([2, 3, 4]);
    push.received.set("d-1 ben", text.messageId);
    await push.pass(60_000);
    expect(push.notifications).toHaveLength(4);
  });

  it("[N1] ends with a target that is gone, which is forgotten, or a refusal", async () => {
    push.outcomes.push({ outcome: "gone", sinceMs: 123 }, { outcome: "refused", reason: "large" });
    const batch = await push.give(
      push.text("d-1", "ann", "hello", "ben"),
      push.text("d-2", "ann", "hello", "cid"),
    );
    await push.pass(60_000);
    expect(push.notifications).toHaveLength(2);
    expect(push.forgotten).toEqual([{ target: targetOf("ben"), sinceMs: 123 }]);
    expect(batch.isDone).toBe(true);
    expect(await push.count("parley_push_attempts_total")).toEqual({ gone: 1, refused: 1 });
  });
});

describe("when something fails", () => {
  it("[N1] [R3] nobody is forgotten while the store or Session is away", async () => {
    push.away.store = true;
    push.away.session = true;
    await push.give(push.text("d-1", "ann", "hello", "ben"));
    await push.pass(60_000);
    push.away.store = false;
    await push.pass(60_000);
    expect(push.shown()).toEqual([]);
    push.away.session = false;
    await push.pass(180_000);
    expect(push.shown()).toEqual(["ben: hello"]);
  });

  it("[N1] [M6] what was sent but not checkpointed is sent again under the same collapse id", async () => {
    const texts = [
      push.text("d-1", "ann", "to ben", "ben"),
      push.text("d-2", "ann", "to cid", "cid"),
    ];
    push.statuses.set("cid", ONLINE);
    const batch = await push.give(...texts);
    await push.pass(6_000);
    expect(push.shown()).toEqual(["ben: to ben"]);
    expect(batch.isDone).toBe(false);
    // The process dies; another one is given the batch again.
    await push.stop();
    push.start();
    push.statuses.delete("cid");
    await push.give(...texts);
    await push.pass(1_000);
    expect(push.shown()).toEqual(["ben: to ben", "ben: to ben", "cid: to cid"]);
    const [first, again] = push.notifications;
    expect(again!.collapseId).toBe(first!.collapseId);
  });

  it("[N1] a process whose shard has gone to another one sends nothing more", async () => {
    await push.give(push.text("d-1", "ann", "hello", "ben"));
    push.handOver();
    await push.pass(60_000);
    expect(push.shown()).toEqual([]);
  });
});
