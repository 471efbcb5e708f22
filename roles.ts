/** The roles of Parley, in the order in which they start: each finds those that it calls. */
export const roleNames = [
  "idgen",
  "session",
  "message",
  "presence",
  "worker",
  "push",
  "edge",
] as const;

/** A role, which a process may have by itself. */
export type RoleName = (typeof roleNames)[number];
