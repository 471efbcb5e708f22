/**
 * The edge's stream to one instance of Presence, opened again whenever it breaks. Each stream
 * begins with a snapshot of the devices that are the instance's; what changes follows in order,
 * one request to a turn of the event loop.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Report_Kind as Kind,
  type LinkRequestSchema,
  type LinkResponse,
} from "../gen/parley/presence/v1/presence_service_pb.js";
import type { Clock, Timer } from "../mesh/clock.ts";
import type { Logger } from "../mesh/logger.ts";
import type { DuplexStream } from "../mesh/rpc.ts";

/** A device that is connected to this edge. */
export interface ConnectedDevice {
  userId: string;
  deviceId: string;
}

/** What happened to a device. */
export interface DeviceReport extends ConnectedDevice {
  kind: Kind;
  /** Of DETACHED: when the device was there for the last time, by the monotonic clock. */
  heardMs?: number;
}

type RequestInit = MessageInitShape<typeof LinkRequestSchema>;
type ReportInit = NonNullable<RequestInit["reports"]>[number];

/** What a link needs. */
export interface PresenceLinkOptions {
  edgeId: string;
  instanceId: string;
  openStream(): DuplexStream<LinkResponse, RequestInit>;
  /** The devices that are the instance's now. */
  listDevices(): Iterable<ConnectedDevice>;
  clock: Clock;
  log: Logger;
  /** 0 to 1. */
  random(): number;
  /** To a request; default: {@link reportsMax}. */
  reportsMax?: number;
}

/** See LinkRequest. */
const reportsMax = 1_000;
/** Reports that may wait; past it a snapshot takes the place of all but log-outs. */
const queueMax = 10_000;
/** How often to be heard before the instance has said. */
const firstBeatMs = 1_000;
/** The instance answers beats; without an answer to this many it counts as gone. */
const beatsMissedMax = 3;
/** The pause before a broken stream is opened again is at most the first; it doubles. */
const reopenMs = { first: 200, max: 5_000 };

/** A link, open from its making until {@link stop}. */
export class PresenceLink {
  private readonly options: PresenceLinkOptions;
  private stream: DuplexStream<LinkResponse, RequestInit> | undefined;
  private queue: DeviceReport[] = [];
  /** A snapshot is to be sent, but not begun: it will tell all that has happened by then. */
  private isSnapshotDue = false;
  /** What is left of the one that is being sent. */
  private snapshot: Iterator<ReportInit> | undefined;
  private isFlushDue = false;
  private isBlocked = false;
  private heardMs = 0;
  private beatMs = firstBeatMs;
  private failures = 0;
  private timer: Timer | undefined;

  constructor(options: PresenceLinkOptions) {
    this.options = options;
    this.sendSnapshot();
    this.open();
  }

  /** Reports in order, soon. */
  add(report: DeviceReport): void {
    if (this.queue.length >= queueMax) {
      this.queue = this.queue.filter(({ kind }) => kind === Kind.LOGGED_OUT);
      this.sendSnapshot();
    }
    if (this.queue.length >= queueMax) this.queue.shift();
    this.queue.push(report);
    this.flushSoon();
  }

  /**
   * Names all devices anew: the instance now has others. It tells who is there, but neither how
   * nor when others left: the reports that wait go before it.
   */
  sendSnapshot(): void {
    this.snapshot = undefined;
    this.isSnapshotDue = true;
    this.flushSoon();
  }

  /** Takes back what was not sent. */
  takeReports(): DeviceReport[] {
    return this.queue.splice(0);
  }

  /** Ends the link: for the instance, the grace time of its devices begins. */
  stop(): void {
    const { stream } = this;
    this.stream = undefined;
    this.timer?.cancel();
    stream?.end();
  }

  private open(): void {
    const { clock } = this.options;
    const stream = this.options.openStream();
    this.stream = stream;
    this.isBlocked = false;
    this.heardMs = clock.monotonicMs();
    stream.onMessage = ({ beatIntervalMs }) => {
      if (this.stream === stream) this.hear(beatIntervalMs);
    };
    stream.onDrain = () => {
      if (this.stream !== stream) return;
      this.isBlocked = false;
      this.flushSoon();
    };
    stream.onClose = (err) => this.lose(stream, err);
    this.flushSoon();
    this.timer = clock.setTimer(this.beatMs, this.beat);
  }

  private hear(beatIntervalMs: number): void {
    const { clock } = this.options;
    this.failures = 0;
    this.heardMs = clock.monotonicMs();
    if (beatIntervalMs === this.beatMs || beatIntervalMs < 1) return;
    this.beatMs = beatIntervalMs;
    this.timer?.cancel();
    this.timer = clock.setTimer(beatIntervalMs, this.beat);
  }

  private readonly beat = (): void => {
    const { stream } = this;
    const { clock } = this.options;
    if (!stream) return;
    if (clock.monotonicMs() - this.heardMs > beatsMissedMax * this.beatMs) {
      stream.end();
      this.lose(stream, new Error(`${beatsMissedMax} beats were not answered`));
      return;
    }
    if (!this.isBlocked && !this.isSnapshotDue) this.isBlocked = !stream.write({});
    this.timer = clock.setTimer(this.beatMs, this.beat);
  };

  private lose(stream: PresenceLink["stream"], err: Error | undefined): void {
    if (this.stream !== stream) return;
    const { log, clock, random, instanceId } = this.options;
    if (this.failures === 0) log.warn({ event: "presence_link_lost", instance: instanceId, err });
    this.stream = undefined;
    this.sendSnapshot();
    this.timer?.cancel();
    const pauseMs = Math.min(reopenMs.max, reopenMs.first * 2 ** this.failures++);
    this.timer = clock.setTimer(pauseMs * random(), () => this.open());
  }

  private get reportsMax(): number {
    return this.options.reportsMax ?? reportsMax;
  }

  private flushSoon(): void {
    if (this.isFlushDue) return;
    this.isFlushDue = true;
    setImmediate(() => {
      this.isFlushDue = false;
      this.flush();
    });
  }

  private flush(): void {
    const { stream } = this;
    if (!stream || this.isBlocked) return;
    const request = this.nextRequest();
    if (!request) return;
    this.isBlocked = !stream.write(request);
    this.flushSoon();
  }

  private nextRequest(): RequestInit | undefined {
    if (this.isSnapshotDue) {
      this.isSnapshotDue = false;
      this.snapshot = this.reportsOfSnapshot();
      const { edgeId } = this.options;
      return { edgeId, snapshotStart: true, ...this.nextOfSnapshot(this.snapshot) };
    }
    if (this.snapshot) return this.nextOfSnapshot(this.snapshot);
    if (this.queue.length === 0) return undefined;
    const reports = this.queue.splice(0, this.reportsMax);
    return { reports: reports.map((report) => this.dated(report)) };
  }

  private *reportsOfSnapshot(): Generator<ReportInit> {
    for (let left = this.queue.length; left > 0; left--) yield this.dated(this.queue.shift()!);
    for (const device of this.options.listDevices()) yield { ...device, kind: Kind.ATTACHED };
  }

  private nextOfSnapshot(snapshot: Iterator<ReportInit>): RequestInit {
    const reports: ReportInit[] = [];
    while (reports.length < this.reportsMax) {
      const next = snapshot.next();
      if (next.done) {
        this.snapshot = undefined;
        return { reports, snapshotEnd: true };
      }
      reports.push(next.value);
    }
    return { reports };
  }

  /** As it leaves: the clocks of two machines have nothing in common but their pace. */
  private dated({ heardMs, ...report }: DeviceReport): ReportInit {
    if (heardMs === undefined) return report;
    const silentMs = Math.floor(this.options.clock.monotonicMs() - heardMs);
    return { ...report, silentMs };
  }
}
