/** What devices do over a WebSocket, done over polls with posts. */
import { describe } from "vitest";
import { connectBy } from "./device.ts";

connectBy("poll");

const suites = {
  devices: () => import("./devices.test.ts"),
  groups: () => import("./groups.test.ts"),
  "large groups": () => import("./live-groups.test.ts"),
  cursors: () => import("./cursors.test.ts"),
  presence: () => import("./presence.test.ts"),
};

// Each in a scope of its own, so that its Parley ends before the next begins.
describe.each(Object.entries(suites))("[T2] over polls: %s", async (_name, load) => {
  await load();
});
