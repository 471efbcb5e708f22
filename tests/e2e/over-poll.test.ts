/** What devices do over a WebSocket, done over polls with posts. */
import { describe } from "vitest";
import { connectBy } from "./device.ts";

connectBy("poll");

describe("[T2] over polls", async () => {
  await import("./devices.test.ts");
  await import("./groups.test.ts");
  await import("./presence.test.ts");
});
