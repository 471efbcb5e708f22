/** The one process, where its edge has an address of its own for clients. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePorts } from "../../deploy/servers/ports.ts";
import {
  createClient,
  createHttpTransport,
  memoryTokenStore,
  ParleyClient,
  SessionService,
} from "../../edge/sdk/index.ts";
import { type ParleyProcess, startParley } from "../parley-process.ts";
import { newAccount } from "./device.ts";

let parley: ParleyProcess;
let publicUrl: string;
beforeAll(async () => {
  const [port] = await freePorts(1);
  publicUrl = `http://localhost:${port}`;
  const environment = { PARLEY_EDGE_PUBLIC_URL: `${publicUrl}/`, PARLEY_EDGE_REGION: "home" };
  parley = await startParley({ port: port!, environment });
});
afterAll(() => parley?.stop());

describe("[A4] an edge with an address of its own", () => {
  it("is named by log-in and AssignEdge, and clients go there", async () => {
    const account = await newAccount(parley.url);
    expect(account.edgeUrls).toEqual([publicUrl]);
    const sessions = createClient(SessionService, createHttpTransport({ url: parley.url }));
    const request = { region: "elsewhere", failedUrls: [publicUrl] };
    const { edges } = await sessions.assignEdge(request);
    expect(edges).toMatchObject([{ url: publicUrl, region: "home" }]);

    const dialed: string[] = [];
    const WebSocket = class extends globalThis.WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        dialed.push(new URL(url).host);
      }
    };
    const options = { url: parley.url, tokens: memoryTokenStore(account) };
    const client = await ParleyClient.open({ ...options, WebSocket: WebSocket as never });
    await client.connect();
    expect(dialed).toEqual([new URL(publicUrl).host]);
    await client.close();
  });
});
