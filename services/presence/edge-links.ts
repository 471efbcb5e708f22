/**
 * The streams on which edges report their devices. Whatever is wrong with a stream ends it: the
 * edge opens another and begins with a snapshot.
 */
import type { DescMethodBiDiStreaming } from "@bufbuild/protobuf";
import {
  Report_Kind as Kind,
  type LinkRequest,
  type PresenceService,
  type Report,
} from "../../gen/parley/presence/v1/presence_service_pb.js";
import type { Clock, Timer } from "../../mesh/clock.ts";
import type { Logger } from "../../mesh/logger.ts";
import type { Metrics } from "../../mesh/metrics.ts";
import type { DuplexHandler } from "../../mesh/rpc.ts";
import type { PresenceState } from "./presence-state.ts";
import type { Settling } from "./settling.ts";

/** What the links need. */
export interface EdgeLinksOptions {
  state: PresenceState;
  settling: Settling;
  beatIntervalMs: number;
  clock: Clock;
  log: Logger;
  metrics?: Metrics | undefined;
}

type LinkMethod = (typeof PresenceService)["method"]["link"] & DescMethodBiDiStreaming;
type LinkStream = Parameters<DuplexHandler<LinkMethod>>[0];

interface Link {
  readonly stream: LinkStream;
  /** Empty until the first request. */
  edgeId: string;
  /** Monotonic. */
  heardMs: number;
}

/** Beats that an edge may miss. */
const beatsMissedMax = 3;
/** See LinkRequest. */
const reportsMax = 1_000;
/** User, device and edge ids are shorter. */
const idLengthMax = 64;

/** The links of one instance. */
export class EdgeLinks {
  private readonly options: EdgeLinksOptions;
  private readonly links = new Set<Link>();
  private readonly requests;
  private timer: Timer | undefined;
  private watchDueMs = Number.POSITIVE_INFINITY;

  constructor(options: EdgeLinksOptions) {
    this.options = options;
    this.requests = options.metrics?.counter(
      "parley_presence_edge_requests_total",
      "Requests of edges: beats of an edge, and reports of its devices.",
      ["kind"],
    );
    this.watchSilence();
  }

  /** Serves a stream. */
  open(stream: LinkStream): void {
    const link: Link = { stream, edgeId: "", heardMs: this.options.clock.monotonicMs() };
    this.links.add(link);
    stream.onMessage = (request) => {
      if (!this.links.has(link)) return;
      const problem = this.receive(link, request);
      if (problem) this.close(link, new Error(problem));
    };
    stream.onClose = (error) => this.close(link, error);
  }

  /** Ends all links without a word about their devices. */
  stop(): void {
    this.timer?.cancel();
    for (const { stream } of this.links) stream.end();
    this.links.clear();
  }

  /** Returns what is wrong with the request. */
  private receive(link: Link, request: LinkRequest): string | undefined {
    const { state, settling, clock } = this.options;
    const isFirst = link.edgeId === "";
    if (isFirst) {
      if (!isId(request.edgeId)) return `edge_id must be 1 to ${idLengthMax} characters`;
      if (!request.snapshotStart) return "snapshot_start must be set in the first request";
      this.replace(request.edgeId);
      link.edgeId = request.edgeId;
    }
    const { edgeId } = link;
    const { reports } = request;
    if (reports.length > reportsMax) return `${reports.length} reports, more than ${reportsMax}`;
    link.heardMs = clock.monotonicMs();
    this.requests?.inc({ kind: isBeat(request) ? "beat" : "report" });
    state.hear(edgeId);
    if (request.snapshotStart) state.beginSnapshot(edgeId);
    for (const report of reports) {
      const problem = this.apply(edgeId, report);
      if (problem) return problem;
    }
    if (request.snapshotEnd) {
      state.endSnapshot(edgeId);
      settling.edgeReported(edgeId);
    }
    if (isFirst || reports.length === 0) {
      link.stream.write({ beatIntervalMs: this.options.beatIntervalMs });
    }
    return undefined;
  }

  private apply(edgeId: string, { kind, userId, deviceId, silentMs }: Report): string | undefined {
    if (!isId(userId)) return `user_id must be 1 to ${idLengthMax} characters`;
    if (!isId(deviceId)) return `device_id must be 1 to ${idLengthMax} characters`;
    const { state } = this.options;
    if (kind === Kind.ATTACHED) state.attach(edgeId, userId, deviceId);
    else if (kind === Kind.DETACHED) state.detach(edgeId, userId, deviceId, silentMs);
    else if (kind === Kind.LOGGED_OUT) state.logOut(userId, deviceId);
    else return `kind ${kind} is not known`;
    return undefined;
  }

  /** An edge that opens a second stream has given up the first: its devices stay. */
  private replace(edgeId: string): void {
    for (const link of this.links) {
      if (link.edgeId !== edgeId) continue;
      this.links.delete(link);
      link.stream.end();
    }
  }

  /** The edge is lost, or (without an error) has left. A stream's end is a sign of life as well. */
  private close(link: Link, err: Error | undefined, silentMs = 0): void {
    if (!this.links.delete(link)) return;
    link.stream.end();
    const { log } = this.options;
    const { edgeId } = link;
    if (err) log.warn({ event: "edge_link_lost", edge_id: edgeId, err });
    else log.info({ event: "edge_link_ended", edge_id: edgeId });
    if (edgeId === "") return;
    this.options.settling.edgeLost(edgeId);
    this.options.state.loseEdge(edgeId, silentMs);
  }

  private watchSilence(): void {
    const { clock, beatIntervalMs } = this.options;
    const silence = new Error(`${beatsMissedMax} beats missed`);
    const nowMs = clock.monotonicMs();
    // While this process did not run it heard nobody: that is no silence of edges.
    const deafMs = Math.max(0, nowMs - this.watchDueMs);
    for (const link of this.links) {
      link.heardMs = Math.min(nowMs, link.heardMs + deafMs);
      const silentMs = nowMs - link.heardMs;
      if (silentMs > beatsMissedMax * beatIntervalMs) this.close(link, silence, silentMs);
    }
    this.watchDueMs = nowMs + beatIntervalMs;
    this.timer = clock.setTimer(beatIntervalMs, () => this.watchSilence());
  }
}

/** Nothing but a sign of life. */
function isBeat({ reports, snapshotStart, snapshotEnd }: LinkRequest): boolean {
  return reports.length === 0 && !snapshotStart && !snapshotEnd;
}

function isId(text: string): boolean {
  return text.length >= 1 && text.length <= idLengthMax;
}
