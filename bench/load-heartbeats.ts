import type { LoadClient } from "./load-client.ts";
import { encodeFrame } from "./load-frames.ts";

const sliceMs = 50;

/**
 * Heartbeats of all, spread evenly over the interval that Welcome asks for. A timer that is late,
 * as the generator has much to do, makes up for it: else clients would fall silent.
 */
export function startHeartbeats(clients: readonly LoadClient[]): { stop(): void } {
  const frame = encodeFrame({ frame: { case: "heartbeat", value: {} } });
  const sliceCount = Math.ceil(clients[0]!.heartbeatIntervalMs / sliceMs);
  const startMs = performance.now();
  let slice = 0;
  const timer = setInterval(() => {
    const due = Math.floor((performance.now() - startMs) / sliceMs);
    // More than a round at once would be the same heartbeats twice.
    for (slice = Math.max(slice, due - sliceCount); slice < due; slice++) {
      for (let i = slice % sliceCount; i < clients.length; i += sliceCount) clients[i]!.send(frame);
    }
  }, sliceMs);
  return { stop: () => clearInterval(timer) };
}
