/** Dialogues from a file of JSON lines: `{"language", "topic", "turns": ["…", "…"]}`. */
import { z } from "zod";

/** A dialogue of two people. */
export interface Dialogue {
  /** Where it stands in its file, from 1. */
  line: number;
  language: string;
  topic: string;
  /** What they say, in turn; the first person begins. */
  turns: readonly string[];
}

/** What somebody gave to the replay is of no use; the message says what and why. */
export class ReplayInputError extends Error {
  override readonly name = "ReplayInputError";
}

/** Turns of a dialogue. */
const turnsMax = 1_000;
/** A topic and its language make the name of a group. */
const nameUnitsMax = 48;
/** The longest text that the server takes. */
const textCodePointsMax = 99_999;

const name = z.string().min(1).max(nameUnitsMax);
const text = z
  .string()
  .min(1)
  .refine((text) => text.length <= textCodePointsMax || [...text].length <= textCodePointsMax, {
    error: `Too big: expected at most ${textCodePointsMax} code points`,
  });

const dialogueSchema = z.object({
  language: name,
  topic: name,
  turns: z.array(text).min(1).max(turnsMax),
});

/**
 * Reads the first `dialoguesMax` dialogues; empty lines don't count.
 * @throws ReplayInputError for the first line that holds none, or when there is no dialogue at all
 */
export function parseDialogues(text: string, dialoguesMax: number): Dialogue[] {
  const dialogues: Dialogue[] = [];
  for (const [at, lineText] of text.split("\n").entries()) {
    if (dialogues.length === dialoguesMax) break;
    if (lineText.trim() !== "") dialogues.push({ line: at + 1, ...parseLine(lineText, at + 1) });
  }
  if (dialogues.length === 0) throw new ReplayInputError("there is no dialogue in the file");
  return dialogues;
}

function parseLine(text: string, line: number): z.output<typeof dialogueSchema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ReplayInputError(`line ${line} is no JSON: ${(error as Error).message}`);
  }
  const parsed = dialogueSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue!.path.length > 0 ? `${issue!.path.join(".")}: ` : "";
  throw new ReplayInputError(`line ${line} is no dialogue: ${where}${issue!.message}`);
}
