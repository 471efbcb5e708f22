import type { Streams } from "./streams.ts";
import { SubjectFeeds, type SubjectFeedsOptions } from "./subject-feed.ts";

/** What the feeds work with. */
export interface InboxFeedsOptions extends Omit<SubjectFeedsOptions, "source"> {
  streams: Streams;
}

/** All inboxes that are followed from this process; the subjects are user ids. */
export class InboxFeeds extends SubjectFeeds {
  constructor({ streams, ...options }: InboxFeedsOptions) {
    const source = {
      stream: streams.inbox,
      subscribe: streams.subscribeInbox.bind(streams),
      interruptions: () => streams.interruptions,
      appendsEmpty: true,
    };
    super({ ...options, source });
  }
}
