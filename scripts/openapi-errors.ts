/** What a method may refuse, read from the comments that say so. */
import { Code } from "@connectrpc/connect";
import { codeToHttpStatus } from "@connectrpc/connect/protocol-connect";

/** HTTP statuses with, for each, the reasons that are known: "TEXT_TOO_LONG". */
export type Refusals = ReadonlyMap<number, ReadonlySet<string>>;

/** By the names that contracts use: "NOT_FOUND". */
const codes = new Map(
  Object.entries(Code)
    .filter((entry): entry is [string, Code] => typeof entry[1] === "number")
    .map(([name, code]) => [name.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase(), code]),
);
const named = new RegExp(`\\b(${[...codes.keys()].join("|")})\\b(?:\\s+\\(([^()]*)\\))?`, "g");

/**
 * Comments name codes, with reasons in brackets: "NOT_FOUND (USER_NOT_FOUND)". A reason has a "_",
 * or begins a part of what is in the brackets.
 */
export function readRefusals(comments: readonly string[]): Refusals {
  const found = new Map<number, Set<string>>();
  for (const [, code, reasons = ""] of comments.join("\n").matchAll(named)) {
    const status = codeToHttpStatus(codes.get(code!)!);
    const known = found.get(status) ?? new Set();
    for (const [reason] of reasons.matchAll(/(?<=^|[,;] )[A-Z]{3,}\b|\b[A-Z]+(?:_[A-Z]+)+\b/g)) {
      known.add(reason);
    }
    found.set(status, known);
  }
  return new Map([...found].sort(([a], [b]) => a - b));
}
