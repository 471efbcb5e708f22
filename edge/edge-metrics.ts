import type { Metrics } from "../mesh/metrics.ts";

/** What an edge counts. */
export type EdgeMetrics = ReturnType<typeof createEdgeMetrics>;

/** Registers an edge's metrics. */
export function createEdgeMetrics(metrics: Metrics) {
  return {
    refused: metrics.counter(
      "parley_edge_handshakes_refused_total",
      "Requests for a connection that were answered with an HTTP error.",
      ["status"],
    ),
    closed: metrics.counter(
      "parley_edge_connections_closed_total",
      "Connections that the edge closed, by close code.",
      ["code"],
    ),
    framesReceived: metrics.counter(
      "parley_edge_frames_received_total",
      "Frames that clients have sent.",
    ),
    turns: metrics.counter(
      "parley_edge_turns_total",
      "Event streams and polls that were begun or gone on with.",
    ),
    deliveries: metrics.counter(
      "parley_edge_deliveries_total",
      "Inbox entries that were written to connections.",
    ),
    lagging: metrics.counter(
      "parley_edge_lagging_total",
      "Times that delivery to a connection was paused because it read too slowly.",
    ),
    calls: metrics.counter("parley_edge_calls_total", "Calls of public methods.", [
      "method",
      "transport",
      "code",
    ]),
    sendSeconds: metrics.latency(
      "parley_edge_send_seconds",
      "From the arrival of a Send frame to its answer.",
    ),
  };
}
