import { MessageService } from "../gen/parley/message/v1/message_service_pb.js";
import type { Clock, Timer } from "../mesh/clock.ts";
import type { Logger } from "../mesh/logger.ts";
import type { Client, Identity, Mesh } from "../mesh/rpc.ts";

/** What a device says that it has stored. */
export interface Acked {
  inboxEpoch: string;
  inboxSequence: bigint;
  curMaxMessageId: bigint;
}

/**
 * Writes what devices have acknowledged to Message, now and then and only the latest of each: an
 * ack that is lost is made up for by the next. At most one waits per device, and a Message that
 * does not answer is not asked for the rest.
 */
export class Acks {
  private readonly messages: Client<typeof MessageService>;
  private readonly clock: Clock;
  private readonly log: Logger;
  private readonly intervalMs: number;
  private waiting = new Map<string, Waiting>();
  private timer: Timer | undefined;
  private writing: Promise<unknown> | undefined;

  constructor(mesh: Mesh, clock: Clock, log: Logger, intervalMs: number) {
    this.messages = mesh.client(MessageService);
    this.clock = clock;
    this.log = log;
    this.intervalMs = intervalMs;
  }

  /** Takes a device's ack. */
  put(identity: Identity, acked: Acked): void {
    this.waiting.set(identity.deviceId, { identity, acked });
    this.timer ??= this.clock.setTimer(this.intervalMs, () => void this.flush());
  }

  /** Writes all that waits, and resolves when each is written or has failed. */
  async flush(): Promise<void> {
    await this.writing;
    this.timer?.cancel();
    this.timer = undefined;
    const batch = this.waiting.values();
    this.waiting = new Map();
    this.writing = Promise.all(Array.from({ length: writersMax }, () => this.write(batch)));
    await this.writing;
  }

  /** One of several that share what there is to write. With its first failure it gives up. */
  private async write(batch: Iterable<Waiting>): Promise<void> {
    for (const { identity, acked } of batch) {
      try {
        await this.messages.markDelivered({ cursor: acked }, { identity });
      } catch (err) {
        this.log.warn({ event: "acks_lost", err });
        return;
      }
    }
  }
}

interface Waiting {
  identity: Identity;
  acked: Acked;
}

/** Writes at once. */
const writersMax = 16;
