/** The parts under test, as a run puts them together; variants replace some by broken ones. */
import { InboxFeeds, type InboxFeedsOptions } from "../../mesh/inbox-feed.ts";
import type { Served } from "../../mesh/serve.ts";
import type { Running } from "../../mesh/streams.ts";
import {
  createMessageService,
  type MessageDependencies,
  startMessageWorkers,
} from "../../services/message/message-service.ts";

/** What a worker process is made from. */
export type WorkerDependencies = Parameters<typeof startMessageWorkers>[0];

/** Makes what runs inside a process. */
export interface Parts {
  messageService(deps: MessageDependencies): Served;
  workers(deps: WorkerDependencies): Running;
  inboxFeeds(options: InboxFeedsOptions): InboxFeeds;
}

import type { LoadedChannel } from "../../services/message/channel/channel-loader.ts";
import { ChannelWriter } from "../../services/message/channel/channel-writer.ts";
import type { RecentSends } from "../../services/message/channel/recent-sends.ts";

const dayMs = 24 * 3_600_000;

/** The real ones. */
export const realParts: Parts = {
  messageService: createMessageService,
  workers: (deps) =>
    startMessageWorkers(deps, { logRetentionMs: 7 * dayMs, trimIntervalMs: 60_000 }),
  inboxFeeds: (options) => new InboxFeeds(options),
};

/** Sends that a channel remembers in a run; the real limit is more than a run stores. */
const rememberedMax = 8;

/**
 * Has channels forget all but the latest sends between two appends, so that resends are looked up
 * in the log and the store.
 */
export function forgetEarly(): void {
  const prototype = ChannelWriter.prototype as unknown as {
    keep(loaded: { recent: RecentSends }): LoadedChannel;
  };
  const { keep } = prototype;
  prototype.keep = function (loaded) {
    const recent = loaded.recent as unknown as Forgetful;
    for (const [key, { clientTimeMs }] of recent.sends) {
      if (recent.sends.size <= rememberedMax) break;
      recent.sends.delete(key);
      recent.forgottenMaxMs = Math.max(recent.forgottenMaxMs, clientTimeMs);
    }
    return keep.call(this, loaded);
  };
}

/** The inside of RecentSends. */
interface Forgetful {
  sends: Map<string, { clientTimeMs: number }>;
  forgottenMaxMs: number;
}
