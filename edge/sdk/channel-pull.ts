import type { MessageInitShape } from "@bufbuild/protobuf";
import type { SyncChannelsResponse } from "../../gen/parley/message/v1/message_service_pb.js";
import {
  type ChannelPositionSchema,
  ChannelUpdateState as State,
} from "../../gen/parley/message/v1/sync_pb.js";
import { Backoff } from "./backoff.ts";
import type { ChannelSync } from "./channel-sync.ts";
import { errorRetryAfterMs } from "./errors.ts";
import { sleep, type Timers } from "./timers.ts";

/** What a pull works with. */
export interface PullOptions {
  sync: Pick<ChannelSync, "known" | "update" | "beginAnew">;
  /** Asks once; waits for a connection as long as it takes. */
  syncChannels(
    positions: MessageInitShape<typeof ChannelPositionSchema>[],
    signal: AbortSignal,
  ): Promise<SyncChannelsResponse>;
  timers: Timers;
  random: () => number;
  signal: AbortSignal;
}

/** Channels that one exchange asks for. */
const positionsMax = 200;
/** Channels whose history is read at once. */
const channelsAtOnce = 4;

/**
 * Brings channels up to date together: an exchange for up to 200 of them, and further ones for
 * what does not fit into one. Channels that lack too much begin anew. Tries until everything is
 * there, or rejects when the signal says so.
 */
export async function pullChannels(
  channelIds: readonly string[],
  { sync, syncChannels, timers, random, signal }: PullOptions,
): Promise<void> {
  const backoff = new Backoff(random);
  const toRead: (() => Promise<void>)[] = [];
  for (let lacking = [...channelIds]; lacking.length > 0; ) {
    const asked = new Set(lacking.splice(0, positionsMax));
    const positions = sync
      .known()
      .filter(({ channelId }) => asked.has(channelId))
      .map(({ channelId, lastChannelSequence }) => ({
        channelId,
        channelSequence: lastChannelSequence,
      }));
    let isWaiting = false;
    try {
      for (const update of (await syncChannels(positions, signal)).updates) {
        const { channelId, state } = update;
        if (state === State.UNAVAILABLE) isWaiting = true;
        else if (state === State.READ_HISTORY) toRead.push(() => sync.beginAnew(channelId));
        else sync.update(update);
        if (state !== State.MORE && state !== State.UNAVAILABLE) asked.delete(channelId);
      }
      lacking = [...asked, ...lacking];
      if (isWaiting) await sleep(timers, backoff.next(0), signal);
    } catch (error) {
      signal.throwIfAborted();
      lacking = [...asked, ...lacking];
      await sleep(timers, backoff.next(errorRetryAfterMs(error)), signal);
    }
  }
  const next = toRead.values();
  const readAll = async () => {
    for (const read of next) {
      signal.throwIfAborted();
      await read();
    }
  };
  await Promise.all(Array.from({ length: channelsAtOnce }, readAll));
  signal.throwIfAborted();
}
