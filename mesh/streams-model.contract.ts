/** The laws of appends and reads, against a model that is a list of entries for each subject. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Stream, WrongLastSequence } from "./streams.ts";
import { ascending, type OpenStreams } from "./streams-under-test.ts";

/** Something that a caller does; subjects and entries are named by small numbers. */
type Command =
  | { kind: "append"; subject: number; expected: "none" | "right" | "wrong"; size: number }
  | { kind: "burst"; subjects: number[] }
  | { kind: "read"; subject: number; from: number; to: number; limit: number; bytesMax: number }
  | { kind: "last" };

const subjectCount = 3;
const subject = fc.nat(subjectCount - 1);
const command: fc.Arbitrary<Command> = fc.oneof(
  fc.record({
    kind: fc.constant("append" as const),
    subject,
    expected: fc.constantFrom("none" as const, "right" as const, "wrong" as const),
    size: fc.nat(300),
  }),
  fc.record({
    kind: fc.constant("burst" as const),
    subjects: fc.array(subject, { minLength: 1, maxLength: 20 }),
  }),
  fc.record({
    kind: fc.constant("read" as const),
    subject,
    from: fc.nat(20),
    to: fc.nat(20),
    limit: fc.integer({ min: 1, max: 10 }),
    bytesMax: fc.integer({ min: 1, max: 1_000 }),
  }),
  fc.record({ kind: fc.constant("last" as const) }),
);

interface ModelEntry {
  sequence: number;
  data: Uint8Array;
}

/** A part of the suite. */
export function modelContract(test: OpenStreams): void {
  describe("model", () => {
    it("[M6] any appends and reads do what the model does", async () => {
      let runs = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 30 }), async (commands) => {
          await new ModelRun(test.streams.log, runs++).run(commands);
        }),
        { numRuns: 50 },
      );
    });
  });
}

/** One run over subjects of its own. */
class ModelRun {
  private readonly stream: Stream;
  private readonly subjects: string[];
  private readonly model: ModelEntry[][];

  constructor(stream: Stream, run: number) {
    this.stream = stream;
    this.subjects = Array.from({ length: subjectCount }, (_, i) => `r${run}-${i}`);
    this.model = this.subjects.map(() => []);
  }

  async run(commands: readonly Command[]): Promise<void> {
    for (const each of commands) {
      if (each.kind === "append") await this.append(each);
      else if (each.kind === "burst") await this.burst(each.subjects);
      else if (each.kind === "read") await this.read(each);
      else await this.last();
    }
  }

  private async append(options: Command & { kind: "append" }): Promise<void> {
    const subject = this.subjects[options.subject]!;
    const entries = this.model[options.subject]!;
    const data = new Uint8Array(options.size).fill(entries.length);
    const right = entries.at(-1)?.sequence ?? 0;
    if (options.expected === "wrong") {
      const refused = this.stream.append(subject, data, { expectedLastSequence: right + 1 });
      await expect(refused).rejects.toThrow(WrongLastSequence);
      return;
    }
    const expectation = options.expected === "right" ? { expectedLastSequence: right } : {};
    entries.push({ sequence: await this.stream.append(subject, data, expectation), data });
  }

  private async burst(subjects: readonly number[]): Promise<void> {
    const datas = subjects.map((_, i) => Uint8Array.of(i));
    const sequences = await Promise.all(
      subjects.map((subject, i) => this.stream.append(this.subjects[subject]!, datas[i]!)),
    );
    for (const [i, subject] of subjects.entries()) {
      this.model[subject]!.push({ sequence: sequences[i]!, data: datas[i]! });
    }
    for (const entries of this.model) {
      const stored = entries.map(({ sequence }) => sequence);
      expect(stored).toEqual(ascending(stored));
    }
  }

  private async read(options: Command & { kind: "read" }): Promise<void> {
    const all = this.model[options.subject]!;
    const bound = (entry: number) => all[entry]?.sequence ?? (all.at(-1)?.sequence ?? 0) + 1;
    const [fromSequence, toSequence] = [bound(options.from), bound(options.to)];
    const { limit, bytesMax } = options;
    const inRange = all.filter((e) => e.sequence >= fromSequence && e.sequence <= toSequence);
    const wanted: ModelEntry[] = [];
    let bytes = 0;
    for (const entry of inRange) {
      if (wanted.length === limit || bytes > bytesMax) break;
      wanted.push(entry);
      bytes += entry.data.length;
    }
    const subject = this.subjects[options.subject]!;
    const page = await this.stream.read(subject, {
      ...{ fromSequence, toSequence, limit, bytesMax },
      fromLeader: true,
    });
    expect(page.entries.map(plain)).toEqual(wanted.map(plain));
    expect(page.entries.every((entry) => entry.subject === subject)).toBe(true);
    if (wanted.length < inRange.length) expect(page.more).toBe(true);
    else if (options.to >= all.length) expect(page.more).toBe(false);
  }

  private async last(): Promise<void> {
    for (const [i, subject] of this.subjects.entries()) {
      const last = await this.stream.last(subject, { fromLeader: true });
      expect(last && plain(last)).toEqual(this.model[i]!.map(plain).at(-1));
    }
  }
}

function plain({ sequence, data }: ModelEntry): [number, string] {
  return [sequence, Buffer.from(data).toString("hex")];
}
