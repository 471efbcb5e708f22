import {
  type DeadLetter,
  type DeadLetters,
  type PlacedDeadLetter,
  StreamUnavailable,
} from "./streams.ts";
import {
  checkListLimit,
  deadLetterKey,
  decodeDeadLetter,
  encodeDeadLetter,
} from "./streams-dead-letters.ts";
import type { NatsShard } from "./streams-nats-shard.ts";

/** Dead letters in a JetStream stream, each the only entry of a subject of its own. */
export class NatsDeadLetters implements DeadLetters {
  private readonly shard: NatsShard;
  private readonly checkOpen: () => void;

  constructor(shard: NatsShard, checkOpen: () => void) {
    this.shard = shard;
    this.checkOpen = checkOpen;
  }

  async park(letter: DeadLetter): Promise<void> {
    this.checkOpen();
    const subject = this.shard.subjectPrefix + deadLetterKey(letter);
    if (await this.shard.reads.last(subject, false)) return;
    try {
      await this.shard.appends.add(subject, encodeDeadLetter(letter), {});
    } catch (cause) {
      // Whatever became of it: parked again, it takes its own place.
      throw new StreamUnavailable(`${subject} is not parked`, { cause });
    }
  }

  async count(): Promise<number> {
    this.checkOpen();
    const info = await this.shard.api<{ state: { messages: number } }>("STREAM.INFO", {});
    return info.state.messages;
  }

  /** A place is a sequence: letters stand in the order in which they were parked. */
  async list(after: string, limit: number): Promise<PlacedDeadLetter[]> {
    checkListLimit(limit);
    this.checkOpen();
    const letters: PlacedDeadLetter[] = [];
    for (let from = Number(after) + 1; letters.length < limit; ) {
      const found = await this.shard.reads.firstFrom(from);
      if (!found) break;
      letters.push({ ...decodeDeadLetter(found.data), place: String(found.sequence) });
      from = found.sequence + 1;
    }
    return letters;
  }
}
