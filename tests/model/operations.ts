/** What the users of a run do with their devices. */
import fc from "fast-check";

/** Users of a run; the first has created the channels and never leaves: it reads their logs. */
export const usersCount = 4;
/** Devices of each user. */
export const devicesEach = 2;
/**
 * One of two users, and groups: public or not, with and without the history before joining. The
 * last one has as many members as a COPY channel can have.
 */
export const channelsCount = 5;
/** Members of that one who do nothing, besides its creator and two more. */
export const fillersCount = 97;

/** One thing that a device does. Numbers are taken modulo what there is. */
export interface Operation {
  device: number;
  channel: number;
  what:
    | "send"
    | "read"
    | "edit"
    | "delete"
    | "react"
    | "unreact"
    | "add"
    | "remove"
    | "ban"
    | "unban"
    | "promote"
    | "demote"
    | "join"
    | "leave"
    | "rename"
    | "settings"
    | "goOnline"
    | "goOffline"
    | "crash"
    | "cut"
    | "loseInbox"
    | "reinstall";
  /** Whom it is about. */
  user: number;
}

const what = fc.oneof(
  { weight: 12, arbitrary: fc.constant("send" as const) },
  { weight: 3, arbitrary: fc.constant("read" as const) },
  { weight: 8, arbitrary: fc.constantFrom("edit" as const, "edit", "delete", "react", "unreact") },
  { weight: 6, arbitrary: fc.constantFrom("add" as const, "remove", "join", "leave") },
  { weight: 4, arbitrary: fc.constantFrom("ban" as const, "unban", "promote", "demote") },
  { weight: 2, arbitrary: fc.constantFrom("rename" as const, "settings") },
  { weight: 4, arbitrary: fc.constant("goOnline" as const) },
  { weight: 3, arbitrary: fc.constant("goOffline" as const) },
  { weight: 2, arbitrary: fc.constantFrom("crash" as const, "cut", "loseInbox", "reinstall") },
);

const operation: fc.Arbitrary<Operation> = fc.record(
  {
    device: fc.nat(usersCount * devicesEach - 1),
    channel: fc.nat(channelsCount - 1),
    what,
    user: fc.nat(usersCount - 1),
  },
  { noNullPrototype: true },
);

/** What happens at the same time. */
export type Round = readonly Operation[];

/** A whole run: the operations of a round happen together, a device's own one after the other. */
export const plans: fc.Arbitrary<readonly Round[]> = fc
  .array(fc.array(operation, { minLength: 1, maxLength: 6 }), {
    minLength: 5,
    maxLength: 25,
    size: "max",
  })
  .map((rounds) => rounds.map((round, i) => (i === growsInRound ? [growth, ...round] : round)));

/** The full group gets one more member, in the midst of everything, and turns LIVE if none has left. */
const growth: Operation = {
  ...{ device: 0, channel: channelsCount - 1 },
  ...{ what: "add", user: usersCount - 1 },
};
const growsInRound = 2;
