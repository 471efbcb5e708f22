/** A whole replay, from the plan to the report. */
import { systemClock } from "../../mesh/clock.ts";
import { concurrently } from "../../mesh/concurrently.ts";
import type { Way } from "../sdk/index.ts";
import { checkHistory, type FaultKind, Faults } from "./replay-check.ts";
import type { Dialogue } from "./replay-dialogues.ts";
import type { Latencies } from "./replay-latencies.ts";
import { Measures } from "./replay-measures.ts";
import { type PlannedChannel, planTopics } from "./replay-plan.ts";
import { playTopic, type Replay } from "./replay-play.ts";
import { Progress } from "./replay-progress.ts";
import { type Account, Server } from "./replay-server.ts";

/** How a replay goes. */
export interface ReplayOptions {
  /** The edges; connections are spread over them. */
  urls: readonly string[];
  /** Dialogues of a topic that are played at once. */
  concurrency: number;
  /** Decides the order of things; see {@link planTopics}. */
  seed: number;
  /** How devices connect. Default: WebSocket. */
  way?: Way;
  /** Around which share of the turns people also edit, delete, react, answer; 0 to 1. Default: 0. */
  changedShare?: number;
  /** Where a bar is drawn; undefined: nowhere. */
  drawProgress?: ((text: string) => void) | undefined;
  /** Without any progress for this long it ends. Default: 60 s. */
  stallMs?: number;
}

/** What came of it; the counts of faults are explained at {@link FaultKind}. */
export interface ReplayReport extends Record<FaultKind, number> {
  /** Texts that were given to the SDK. */
  sent: number;
  /** Texts whose place the sender knows. */
  acknowledged: number;
  /** How often a device was told of a text, the sender's own included. */
  delivered: number;
  /** Edits, deletions and reactions that were accepted. */
  changed: number;
  seconds: number;
  ack_ms: { p50: number; p99: number };
  /** To the devices of others. */
  delivery_ms: { p50: number; p99: number };
}

/** Topics under way: while one is played, the next one's people sign up. */
const topicsAtOnce = 2;

/**
 * Replays dialogues and checks that every text is where it belongs, once and in order, for every
 * member and in the history.
 * @returns the report, and the first faults and other problems in words
 */
export async function replayDialogues(
  dialogues: readonly Dialogue[],
  {
    urls,
    concurrency,
    seed,
    way = "websocket",
    changedShare,
    drawProgress,
    stallMs,
  }: ReplayOptions,
): Promise<{ report: ReplayReport; problems: string[] }> {
  const topics = planTopics(dialogues, seed, changedShare);
  const channels = topics.flatMap(({ group, direct }) => [group, ...direct]);
  const measures = new Measures();
  const faults = new Faults();
  const startMs = performance.now();
  const progress = new Progress({
    measures,
    total: channels.reduce((sum, channel) => sum + turnCount(channel), 0),
    clock: systemClock,
    write: drawProgress,
    stallMs,
  });
  const { stalled } = progress;
  const problems: string[] = [];
  const places = new Map<PlannedChannel, Place>();
  // A second replay on the same server must not meet the users of the first.
  const run = crypto.randomUUID().slice(0, 8);
  let users = 0;
  const server = new Server(urls, stalled);
  const replay: Replay = {
    server,
    way,
    concurrency,
    measures,
    faults,
    stalled,
    newUsername: () => `r${run}-${++users}`,
    onChannel: (channel, channelId, member) => void places.set(channel, { channelId, member }),
    onProblem(problem) {
      if (problems.length < problemsMax) problems.push(problem);
    },
  };
  await concurrently(topics, topicsAtOnce, (topic) => playTopic(replay, topic));
  await checkHistories(replay, channels, places);
  progress.stop();
  return {
    report: {
      sent: measures.sent,
      acknowledged: measures.acknowledged,
      delivered: measures.delivered,
      changed: measures.changed,
      ...faults.counts,
      seconds: Number(((performance.now() - startMs) / 1_000).toFixed(1)),
      ack_ms: percentiles(measures.ackMs),
      delivery_ms: percentiles(measures.deliveryMs),
    },
    problems: [...problems, ...faults.described],
  };
}

/** Problems other than faults that are told of. */
const problemsMax = 20;
/** Histories that are read at once. */
const readsAtOnce = 16;

/** Where a channel can be read, and by whom. */
interface Place {
  channelId: string;
  member: Account;
}

/** Reads every channel when all is over, and compares it with what was to be said there. */
async function checkHistories(
  { server, stalled, faults, measures, onProblem }: Replay,
  channels: readonly PlannedChannel[],
  places: ReadonlyMap<PlannedChannel, Place>,
): Promise<void> {
  let isGone = false;
  const read = async (place: Place | undefined) => {
    if (!place || isGone) return [];
    try {
      return await server.history(place.member, place.channelId);
    } catch (error) {
      // Who has waited long enough doesn't wait for every channel anew.
      isGone = stalled.aborted;
      onProblem(`no history: ${error}`);
      return [];
    }
  };
  await concurrently(channels, readsAtOnce, async (channel) => {
    checkHistory(channel, await read(places.get(channel)), faults);
    measures.moves++;
  });
}

function turnCount({ dialogues }: PlannedChannel): number {
  return dialogues.reduce((sum, { turns }) => sum + turns.length, 0);
}

function percentiles(latencies: Latencies): { p50: number; p99: number } {
  return { p50: latencies.percentile(50), p99: latencies.percentile(99) };
}
