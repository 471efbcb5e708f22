import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MessageService } from "../../edge/sdk/index.ts";
import { openPglite } from "../../mesh/sql-pglite.ts";
import { rebuild } from "../../rebuild.ts";
import { startParley } from "../parley-process.ts";
import { type Device, newDevices } from "./device.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

describe("parley run", () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), "parley-run-"));
  });
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

  it("[O4] finds everything again that an earlier run left in its folder", async () => {
    const first = await startParley({ dataDir });
    const [ann, ben] = (await newDevices(() => first.url, "ann", "ben")) as [Device, Device];
    const channelId = await ann.openDirect(ben);
    await ann.say(channelId, "before");
    await ben.hears(channelId, "before");
    await first.stop();

    const second = await startParley({ dataDir, port: first.port });
    // Devices that stayed come back by themselves; so does one whose program ended.
    await ann.say(channelId, "after");
    await ben.hears(channelId, "after");
    expect(ben.texts(channelId)).toEqual(["before", "after"]);
    const tablet = await ben.another();
    const { messages } = await tablet.http(MessageService).listMessages({ channelId });
    expect(messages.map(({ body }) => body.value)).toMatchObject(["after", "before", {}]);
    for (const device of [ann, ben, tablet]) await device.client.close();
    expect(await second.stop()).toBe(0);
  });

  it("[R2] rebuilds the search index from the messages in its folder", {
    timeout: 180_000,
  }, async () => {
    const first = await startParley({ dataDir });
    const [ann] = (await newDevices(() => first.url, "ann")) as [Device];
    const channelId = await ann.createGroup([]);
    const said = await ann.say(channelId, "Leuchtturm");
    const find = async (device: Device) => {
      const { hits } = await device.calls.searchMessages({ query: "leuchtturm" });
      return hits.map(({ message }) => message!.messageId);
    };
    await vi.waitFor(async () => expect(await find(ann)).toEqual([said]), {
      timeout: 20_000,
      interval: 250,
    });
    const busy = rebuild(["search", "--embedded"], { PARLEY_DATA_DIR: dataDir });
    await expect(busy).rejects.toThrow(/is in use by process/);
    await first.stop();

    const sql = await openPglite(join(dataDir, "sql"));
    await sql.query("TRUNCATE search_texts, search_stays, search_channels");
    await sql.close();
    expect(await rebuild(["search", "--embedded"], { PARLEY_DATA_DIR: dataDir })).toBe(0);
    const second = await startParley({ dataDir, port: first.port });
    expect(await find(await ann.another())).toEqual([said]);
    await ann.client.close();
    await second.stop();
  });

  it("[O4] refuses a folder that another process uses, and says which", async () => {
    const first = await startParley({ dataDir });
    const second = startParley({ dataDir });
    await expect(second).rejects.toThrow(/ended with 1 before it was ready/);
    await expect(second).rejects.toThrow(new RegExp(`${dataDir} is in use by process \\d+`));
    await first.stop();
  });

  it("[O4] names every bad setting at once", async () => {
    const environment = {
      PARLEY_LOG_LEVEL: "loud",
      PARLEY_EDGE_CONNECTIONS_MAX: "many",
      PARLEY_PRESENCE_GRACE_MS: "-1",
      PARLEY_SESSION_ACCESS_TOKEN_MS: "1e99",
    };
    const start = startParley({ dataDir, environment });
    for (const [name, value] of Object.entries(environment)) {
      await expect(start).rejects.toThrow(`${name}=${JSON.stringify(value)}: `);
    }
    await expect(start).rejects.toThrow(/ended with 1 before/);
  });

  it("[O4] [R4] drains on SIGINT: clients are told to come back, and it exits with 0", async () => {
    const parley = await startParley({ dataDir, environment: { PARLEY_EDGE_DRAIN_MS: "200" } });
    const [ann] = (await newDevices(() => parley.url, "ann")) as [Device];
    const reasons: string[] = [];
    ann.client.on("state", (state) => {
      if (state.status === "waiting") reasons.push(state.reason);
    });
    expect(await parley.stop("SIGINT")).toBe(0);
    expect(reasons[0]).toMatch(/^retry_after_ms=\d+$/);
    await ann.client.close();
  });

  it("[O4] says in words that its port is taken", async () => {
    const first = await startParley({ dataDir });
    const other = mkdtempSync(join(tmpdir(), "parley-run-"));
    const second = startParley({ dataDir: other, port: first.port });
    await expect(second).rejects.toThrow(`parley run: listen EADDRINUSE: address already in use`);
    await expect(second).rejects.not.toThrow(/^ +at /m);
    await first.stop();
    rmSync(other, { recursive: true, force: true });
  });
});
