import type { Streams } from "./streams.ts";
import { SubjectFeeds, type SubjectFeedsOptions } from "./subject-feed.ts";

/** What the feeds work with. */
export interface LogFeedsOptions extends Omit<SubjectFeedsOptions, "source"> {
  streams: Streams;
}

/**
 * The logs of LIVE channels that are followed from this process; the subjects are channel ids. An
 * entry comes when fan-out tells of it, or when a comparison of tails shows it.
 */
export class LogFeeds extends SubjectFeeds {
  constructor({ streams, ...options }: LogFeedsOptions) {
    const source = {
      stream: streams.log,
      subscribe: streams.subscribeLog.bind(streams),
      interruptions: () => streams.interruptions,
      appendsEmpty: false,
    };
    super({ ...options, source });
  }
}
