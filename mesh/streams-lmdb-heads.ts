import { RecentMap } from "./recent-map.ts";

/** The newest entry of a subject. */
export interface SubjectHead {
  /** Its sequence; 0: the subject has no entry. */
  readonly sequence: number;
  /** Its dense number in the subject, from 1. */
  readonly ordinal: number;
}

/** The head of a subject without entries. */
export const noHead: SubjectHead = { sequence: 0, ordinal: 0 };

/** Subjects whose heads are kept: some 15 MB. The others are looked up, at 6 µs each. */
const headsMax = 100_000;

/**
 * The heads of subjects: as committed, and as the group that is being committed leaves them.
 * Only the committed ones are shown to readers.
 */
export class SubjectHeads {
  private readonly lookUp: (subject: string) => SubjectHead;
  private readonly committed = new RecentMap<string, SubjectHead>(headsMax);
  private readonly placed = new Map<string, SubjectHead>();

  /** `lookUp` finds a committed head in the index. */
  constructor(lookUp: (subject: string) => SubjectHead) {
    this.lookUp = lookUp;
  }

  /** The head that readers see. */
  get(subject: string): SubjectHead {
    let head = this.committed.get(subject);
    if (!head) {
      head = this.lookUp(subject);
      this.committed.set(subject, head);
    }
    return head;
  }

  /** The head that the next entry follows. */
  getPlaced(subject: string): SubjectHead {
    return this.placed.get(subject) ?? this.get(subject);
  }

  /** An entry of the group that is being committed. */
  place(subject: string, head: SubjectHead): void {
    this.placed.set(subject, head);
  }

  /** The group is committed, or it failed and has changed nothing. */
  endGroup(committed: boolean): void {
    if (committed) {
      for (const [subject, head] of this.placed) this.committed.set(subject, head);
    }
    this.placed.clear();
  }
}
