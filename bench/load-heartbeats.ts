import type { LoadClient } from "./load-client.ts";
import { encodeFrame } from "./load-frames.ts";

/** Heartbeats of all, spread evenly over the interval that Welcome asks for. */
export function startHeartbeats(clients: readonly LoadClient[]): { stop(): void } {
  const frame = encodeFrame({ frame: { case: "heartbeat", value: {} } });
  const sliceMs = 50;
  const sliceCount = Math.ceil(clients[0]!.heartbeatIntervalMs / sliceMs);
  let slice = 0;
  const timer = setInterval(() => {
    for (let i = slice; i < clients.length; i += sliceCount) clients[i]!.send(frame);
    slice = (slice + 1) % sliceCount;
  }, sliceMs);
  return { stop: () => clearInterval(timer) };
}
