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

const dayMs = 24 * 3_600_000;

/** The real ones. */
export const realParts: Parts = {
  messageService: createMessageService,
  workers: (deps) =>
    startMessageWorkers(deps, { logRetentionMs: 7 * dayMs, trimIntervalMs: 60_000 }),
  inboxFeeds: (options) => new InboxFeeds(options),
};
