/** What every adapter of streams.ts tells those who listen. */
import { describe, expect, it } from "vitest";
import { systemClock } from "./clock.ts";
import { LogFeeds } from "./log-feed.ts";
import type { LiveMessage, StreamEntry } from "./streams.ts";
import { bytes, type OpenStreams, text, textsOf } from "./streams-under-test.ts";

/** A part of the suite. */
export function liveContract(test: OpenStreams): void {
  describe("live", () => {
    it("[S2] tells of every entry of an inbox, with the sequence of the one before", async () => {
      const before = await test.streams.inbox.append("a", bytes("before"));
      const heard: LiveMessage[] = [];
      await test.streams.subscribeInbox("a", (message) => heard.push(message));
      const first = await test.streams.inbox.append("a", bytes("1"));
      await test.streams.inbox.append("b", bytes("x"));
      await test.streams.log.append("a", bytes("x"));
      const second = await test.streams.inbox.append("a", bytes("2"));
      await test.until(() => heard.some(({ sequence }) => sequence === second));
      const told = once(heard).filter(({ sequence }) => sequence > before);
      expect(told.map(({ sequence, prevSequence }) => ({ sequence, prevSequence }))).toEqual([
        { sequence: first, prevSequence: before },
        { sequence: second, prevSequence: first },
      ]);
      expect(told.map(text)).toEqual(["1", "2"]);
      expect(new Set(heard.map(({ subject }) => subject))).toEqual(new Set(["a"]));
    });

    it("says that an inbox' first entry has none before it", async () => {
      const heard: LiveMessage[] = [];
      await test.streams.subscribeInbox("a", (message) => heard.push(message));
      await test.streams.inbox.append("a", bytes("1"));
      await test.until(() => heard.length > 0);
      expect(heard[0]!.prevSequence).toBe(0);
    });

    it("[M6] tells only of what can be read", async () => {
      const found: Promise<StreamEntry | undefined>[] = [];
      await test.streams.subscribeInbox("a", () => {
        found.push(test.streams.inbox.last("a", { fromLeader: true }));
      });
      const sequence = await test.streams.inbox.append("a", bytes("1"));
      await test.until(() => found.length > 0);
      expect(await found[0]).toMatchObject({ sequence });
    });

    it("[M8] tells of what is published without being stored, with sequence 0", async () => {
      const heard: LiveMessage[] = [];
      await test.streams.subscribeInbox("a", (message) => heard.push(message));
      await test.until(() => {
        test.streams.publishInbox("a", bytes("typing"));
        return heard.length > 0;
      });
      expect(heard[0]).toMatchObject({ subject: "a", sequence: 0 });
      expect(text(heard[0]!)).toBe("typing");
      expect(await textsOf(test.streams.inbox, "a")).toEqual([]);
    });

    it("[G3] tells those who listen to a log of the entries that somebody tells of", async () => {
      const heard: LiveMessage[] = [];
      const inboxHeard: LiveMessage[] = [];
      await test.streams.subscribeLog("a", (message) => heard.push(message));
      await test.streams.subscribeInbox("a", (message) => inboxHeard.push(message));
      const sequence = await test.streams.log.append("a", bytes("stored, and not told of"));
      const data = bytes("1");
      test.streams.publishLog("b", { data, sequence: 5, prevSequence: 0 });
      test.streams.publishLog("a", { data, sequence, prevSequence: 0 });
      data[0] = 0;
      test.streams.publishLog("a", {
        data: bytes("2"),
        sequence: sequence + 7,
        prevSequence: sequence,
      });
      await test.until(() => heard.length === 2);
      expect(heard.map(text)).toEqual(["1", "2"]);
      expect(heard.map(({ data: _, ...rest }) => rest)).toEqual([
        { subject: "a", sequence, prevSequence: 0 },
        { subject: "a", sequence: sequence + 7, prevSequence: sequence },
      ]);
      expect(inboxHeard).toEqual([]);
    });

    it("[S3] [G3] lets a feed of a log repair what was not told of, from an empty log on", async () => {
      const { log } = test.streams;
      const feeds = new LogFeeds({ streams: test.streams, clock: systemClock });
      const got: string[] = [];
      let isCaughtUp = false;
      const follower = {
        deliver: (delivery: { data: Uint8Array }) => got.push(text(delivery)) > 0,
        caughtUp: () => {
          isCaughtUp = true;
        },
        reset: () => {},
        event: () => {},
      };
      feeds.follow("a", { epoch: "", sequence: 0 }, follower);
      await test.until(() => isCaughtUp);
      let prevSequence = 0;
      for (const name of ["first", "lost", "lost too", "last"]) {
        const data = bytes(name);
        const sequence = await log.append("a", data);
        const entry = { data, sequence, prevSequence };
        if (!name.startsWith("lost")) test.streams.publishLog("a", entry);
        prevSequence = sequence;
      }
      await test.until(() => got.length === 4);
      expect(got).toEqual(["first", "lost", "lost too", "last"]);
      expect(await textsOf(log, "a")).toEqual(got);
      feeds.close();
    });

    it("tells nobody of a log who has stopped to listen", async () => {
      const heard: string[] = [];
      const listen = (name: string) =>
        test.streams.subscribeLog("a", (message) => heard.push(`${name} ${text(message)}`));
      const first = await listen("first");
      await listen("second");
      await first.stop();
      test.streams.publishLog("a", { data: bytes("1"), sequence: 1, prevSequence: 0 });
      await test.until(() => heard.length > 0);
      expect(heard).toEqual(["second 1"]);
    });

    it("[A2] tells all who listen of accounts that have changed, and nobody who has stopped", async () => {
      const heard: string[] = [];
      const listen = (name: string) =>
        test.streams.subscribeAccounts((userId) => heard.push(`${name} ${userId}`));
      const first = await listen("first");
      await listen("second");
      test.streams.publishAccount("ann");
      await test.until(() => heard.length === 2);
      await first.stop();
      test.streams.publishAccount("ben");
      await test.until(() => heard.length === 3);
      expect(heard.sort()).toEqual(["first ann", "second ann", "second ben"]);
    });

    it("tells all subscribers of an inbox, and none that has stopped", async () => {
      const heard = new Set<string>();
      const subscribe = (name: string) =>
        test.streams.subscribeInbox("a", (message) => void heard.add(`${name} ${text(message)}`));
      const first = await subscribe("first");
      const second = await subscribe("second");
      await subscribe("third");
      await second.stop();
      await test.streams.inbox.append("a", bytes("1"));
      await test.until(() => heard.has("first 1") && heard.has("third 1"));
      await first.stop();
      await first.stop();
      await test.streams.inbox.append("a", bytes("2"));
      await test.until(() => heard.has("third 2"));
      expect(heard).toEqual(new Set(["first 1", "third 1", "third 2"]));
    });
  });
}

/** The messages without repetitions, which every adapter may make. */
function once(messages: readonly LiveMessage[]): LiveMessage[] {
  return [...new Map(messages.map((message) => [message.sequence, message])).values()];
}
