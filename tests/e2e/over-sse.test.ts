/** What devices do over a WebSocket, done over an event stream with posts. */
import { describe } from "vitest";
import { connectBy } from "./device.ts";

connectBy("sse");

describe("[T2] over an event stream", async () => {
  await import("./devices.test.ts");
  await import("./groups.test.ts");
  await import("./presence.test.ts");
});
