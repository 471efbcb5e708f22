/**
 * What a worker does with an entry that can't be decoded: it would come again for ever, and hold up
 * all channels of its shard. It is put aside, with an alert, and the worker goes on after it.
 */
import type { LogEntry } from "../../../gen/parley/log/v1/log_pb.js";
import type { Logger } from "../../../mesh/logger.ts";
import type { Metrics } from "../../../mesh/metrics.ts";
import type { DeadLetters, Stream, StreamEntry, WorkOptions } from "../../../mesh/streams.ts";
import type { ChannelState } from "../channel/channel-state.ts";
import type { ChannelStates } from "../channel/channel-states.ts";
import { decode, Undecodable } from "../channel/log-entries.ts";

/** What parking needs. */
export interface ParkingDependencies {
  log: Stream;
  deadLetters: DeadLetters;
  logger: Logger;
  metrics?: Metrics;
  /** See WorkOptions. */
  isOurs?: WorkOptions["isOurs"];
}

/** One worker's dead letters. */
export class Parking {
  private readonly worker: string;
  private readonly deps: ParkingDependencies;

  constructor(worker: string, deps: ParkingDependencies) {
    this.worker = worker;
    this.deps = deps;
  }

  /**
   * An entry, and its channel before it; undefined: the entry, or the snapshot that it rests on,
   * can't be decoded, and is parked.
   * @throws StreamUnavailable, LogIncomplete
   */
  async read(
    stored: StreamEntry,
    states: ChannelStates,
  ): Promise<{ entry: LogEntry; state: ChannelState } | undefined> {
    try {
      const entry = decode(stored);
      return { entry, state: await states.before(entry, stored.sequence) };
    } catch (thrown) {
      if (!(thrown instanceof Undecodable)) throw thrown;
      await this.park(stored, thrown.message);
      return undefined;
    }
  }

  private async park(entry: StreamEntry, reason: string): Promise<void> {
    const { worker } = this;
    const { log, deadLetters, logger, metrics } = this.deps;
    const { subject: channelId, sequence } = entry;
    const epoch = log.epoch(channelId);
    await deadLetters.park({ worker, stream: log.name, epoch, entry, reason });
    logger.error({ event: "entry_parked", worker, channelId, epoch, sequence, reason });
    metrics
      ?.counter("parley_dead_letters_total", "Entries that workers have put aside.", ["worker"])
      .inc({ worker });
  }
}
