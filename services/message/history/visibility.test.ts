import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  MembershipChange_Kind as Kind,
  MemberRole,
  MessageSchema,
} from "../../../gen/parley/message/v1/message_pb.js";
import type { ChannelItem } from "../channel/channel-item.ts";
import type { MembershipRow } from "../store/message-store.ts";
import { Visibility } from "./visibility.ts";

/** The items of a channel: "+" ann comes, "-" ann goes, "." a text, "o" somebody else comes. */
function items(history: string): ChannelItem[] {
  let joinedSequence = 0;
  return [...history].map((what, i) => {
    const kind = what === "-" ? Kind.REMOVED : Kind.ADDED;
    const userIds = [what === "o" ? "ben" : "ann"];
    const members = what === "-" ? [{ userId: "ann", joinedSequence }] : [];
    if (what === "+") joinedSequence = i + 1;
    const value = create(MessageSchema, {
      channelSequence: i + 1,
      body:
        what === "."
          ? { case: "text", value: "x" }
          : { case: "membershipChange", value: { kind, userIds, members } },
    });
    return { case: "message", value };
  });
}

/** What the store has of ann's stays when it knows the first `known` items. */
function rows(history: string, known: number): MembershipRow[] {
  const stays: MembershipRow[] = [];
  for (let sequence = 1; sequence <= known; sequence++) {
    const what = history[sequence - 1];
    if (what === "+") {
      stays.push({
        ...{ channelId: "g-1", userId: "ann", role: MemberRole.MEMBER, joinTimeMs: 0 },
        ...{ joinedSequence: sequence, leftSequence: 0, sequence },
      });
    } else if (what === "-") stays.at(-1)!.leftSequence = sequence;
  }
  return stays;
}

/** What ann may read: the numbers of the items. */
function readable(history: string, visibility: Visibility): number[] {
  return [...history].map((_, i) => i + 1).filter((sequence) => visibility.includes(sequence));
}

/** The items of ann's stays, both ends included. */
function truth(history: string): number[] {
  let isMember = false;
  return [...history].flatMap((what, i) => {
    if (what === "+") isMember = true;
    const shown = isMember;
    if (what === "-") isMember = false;
    return shown ? [i + 1] : [];
  });
}

function reader(history: string, seesAll = false) {
  const joined = history.lastIndexOf("+");
  const joinedSequence = joined > history.lastIndexOf("-") ? joined + 1 : undefined;
  return { userId: "ann", joinedSequence, seesAll };
}

/** Histories in which ann comes and goes by turns. */
const histories = fc.array(fc.constantFrom(".", "o", "x"), { maxLength: 20 }).map((steps) => {
  let isMember = false;
  const turn = () => {
    isMember = !isMember;
    return isMember ? "+" : "-";
  };
  return steps.map((step) => (step === "x" ? turn() : step)).join("");
});

describe("what a user may read of a channel", () => {
  it("[G4] is what was sent from the joining to the removal, each included, in every stay", () => {
    const history = "..+..-..+.-.";
    const visibility = Visibility.of(reader(history), rows(history, 12), [[]]);
    expect(readable(history, visibility)).toEqual([3, 4, 5, 6, 9, 10, 11]);
  });

  it("[G4] includes what came before for members, where the group's setting says so", () => {
    const history = "..+.-.+.";
    expect(readable(history, Visibility.of(reader(history, true), [], [[]]))).toHaveLength(8);
    const left = `${history}-..`;
    expect(readable(left, Visibility.of(reader(left, true), rows(left, 11), [[]]))).toEqual(
      truth(left),
    );
  });

  it("[G4] [H6] is the same however far the store lags behind the log, or is ahead of its tail", () => {
    fc.assert(
      fc.property(histories, fc.nat(20), fc.nat(20), (history, stored, tailFrom) => {
        const known = Math.min(stored, history.length);
        const tail = items(history).slice(Math.min(tailFrom, known));
        const visibility = Visibility.of(reader(history), rows(history, known), [tail]);
        expect(readable(history, visibility)).toEqual(truth(history));
      }),
    );
  });

  it("[G4] [R2] never is more than that where the store is away and the log has been trimmed", () => {
    fc.assert(
      fc.property(histories, fc.nat(20), (history, trimmed) => {
        const visibility = Visibility.of(reader(history), [], [items(history).slice(trimmed)]);
        const shown = readable(history, visibility);
        expect(truth(history)).toEqual(expect.arrayContaining(shown));
        // What the log still holds is shown, if anything in it tells that it may be.
        const hasChange = /[+-]/.test(history.slice(trimmed)) || reader(history).joinedSequence;
        const held = truth(history).filter((sequence) => sequence > trimmed);
        if (hasChange) expect(shown.filter((sequence) => sequence > trimmed)).toEqual(held);
      }),
    );
  });

  it("[G4] [R2] never is more than that where a tail lacks its middle", () => {
    const cuts = fc.tuple(fc.nat(20), fc.nat(20), fc.nat(20));
    fc.assert(
      fc.property(histories, cuts, (history, ends) => {
        const [known, cutFrom, cutTo] = ends.sort((a, b) => a - b) as [number, number, number];
        fc.pre(known < cutFrom && cutFrom < cutTo && cutTo < history.length);
        const all = items(history);
        const tail = [all.slice(known, cutFrom), all.slice(cutTo)] as const;
        const visibility = Visibility.of(reader(history), rows(history, known), tail);
        const shown = readable(history, visibility).filter((n) => n <= cutFrom || n > cutTo);
        const held = truth(history).filter((n) => n <= cutFrom || n > cutTo);
        expect(held).toEqual(expect.arrayContaining(shown));
        expect(shown.filter((n) => n <= cutFrom)).toEqual(held.filter((n) => n <= cutFrom));
      }),
    );
  });

  it("[G4] is nothing for who has never been a member", () => {
    expect(
      Visibility.of(
        { userId: "eve", joinedSequence: undefined, seesAll: true },
        [],
        [items("..+.")],
      ).isNothing,
    ).toBe(true);
  });
});
