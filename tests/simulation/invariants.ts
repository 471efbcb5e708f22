/** What must hold in every run, by name. */
export const invariants = {
  "acknowledged-once":
    "what was acknowledged is stored exactly once, where the acknowledgement says; nothing else is",
  "dense-order":
    "a channel is one dense order: sequences 1..n, ids ascending, each naming the one before",
  "complete-views": "a device ends with its user's part of the log, each item once, in order",
  "no-silent-gap": "a device that lacks something can tell so from what it has",
  "right-decisions":
    "a change is decided on the channel as it is: made by who may, refused to who may not",
  "membership-respected": "nobody sees what was sent outside the own membership",
  "complete-history":
    "pages show every acknowledged message that the reader may see, in order, once",
  "store-follows-log": "the store ends as a projection of the log",
  "client-order": "what one client sends into one channel keeps its order",
  progress: "once nothing fails any more, everything comes to its end",
} as const;

/** The name of an invariant. */
export type Invariant = keyof typeof invariants;

/** The first thing in a run that must not be. */
export interface Violation {
  invariant: Invariant;
  what: string;
}
