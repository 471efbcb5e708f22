import { fromBinary } from "@bufbuild/protobuf";
import { type Revocation, RevocationSchema } from "../gen/parley/log/v1/log_pb.js";
import { type Clock, sleep, type Timer } from "./clock.ts";
import type { Logger } from "./logger.ts";
import type { Streams } from "./streams.ts";

/** What a follower of revocations needs. */
export interface RevocationsOptions {
  streams: Streams;
  clock: Clock;
  log: Logger;
  pollMs: number;
  /** Told each revocation, in order; perhaps again. */
  onRevocation(revocation: Revocation): void;
}

/**
 * Follows the stream of ended sign-ins. Not as a worker, of which one is active: every process that
 * verifies tokens needs every revocation. While the stream can't be read, those that were read
 * before stand.
 */
export class Revocations {
  private readonly options: RevocationsOptions;
  private sequence = 0;
  private timer: Timer | undefined;
  private stopped = false;

  constructor(options: RevocationsOptions) {
    this.options = options;
  }

  /** Resolves when all that is stored now has been told; tries for as long as that takes. */
  async start(): Promise<void> {
    while (!(await this.read(true))) await sleep(this.options.clock, startPauseMs);
    this.poll();
  }

  /** Tells nothing more. */
  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  private poll(): void {
    if (this.stopped) return;
    this.timer = this.options.clock.setTimer(this.options.pollMs, () => {
      void this.read(false).then(() => this.poll());
    });
  }

  /** Reads on to the end; false: it failed. */
  private async read(fromLeader: boolean): Promise<boolean> {
    const { streams, log } = this.options;
    try {
      for (let more = true; more && !this.stopped; ) {
        const fromSequence = this.sequence + 1;
        const page = await streams.revocations.read(subject, { fromSequence, fromLeader });
        for (const { sequence, data } of page.entries) {
          this.sequence = sequence;
          this.tell(data);
        }
        more = page.more;
      }
      return true;
    } catch (err) {
      log.warn({ event: "revocations_unreadable", err });
      return false;
    }
  }

  private tell(data: Uint8Array): void {
    const { onRevocation, log } = this.options;
    let revocation: Revocation;
    try {
      revocation = fromBinary(RevocationSchema, data);
    } catch (err) {
      log.error({ event: "revocation_malformed", sequence: this.sequence, err });
      return;
    }
    if (!this.stopped) onRevocation(revocation);
  }
}

const subject = "revocation";
const startPauseMs = 1_000;
