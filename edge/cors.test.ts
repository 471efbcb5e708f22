import { once } from "node:events";
import { request } from "node:http";
import { json } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { ConfigError, parseConfig } from "../mesh/config.ts";
import { edgeConfig } from "./edge-config.ts";
import { EdgeFixture } from "./edge-fixture.ts";

const logIn = "/parley.session.v1.SessionService/LogIn";
const chat = "https://chat.example";

describe("[O3] pages of other origins", () => {
  it.each([logIn, "/v1/events", "/v1/poll", "/v1/frames"])(
    "are let in to %s where the settings name them, and no others",
    async (path) => {
      await using fixture = await new EdgeFixture({ origins: [chat] }).start();
      const preflight = async (origin: string) => {
        const headers = { origin, "access-control-request-method": "POST" };
        const url = `http://${fixture.edge.address}${path}`;
        return (await fetch(url, { method: "OPTIONS", headers })).headers;
      };
      const allowed = await preflight(chat);
      expect(allowed.get("access-control-allow-origin")).toBe(chat);
      expect(allowed.get("access-control-allow-methods")).toBe("POST, GET");
      for (const name of ["authorization", "last-event-id", "parley-connection", "x-request-id"]) {
        expect(allowed.get("access-control-allow-headers")).toContain(name);
      }
      expect(allowed.get("access-control-allow-credentials")).toBeNull();
      expect(allowed.get("vary")).toBe("origin");
      const other = await preflight("https://evil.example");
      expect(other.get("access-control-allow-origin")).toBeNull();
      expect(other.get("access-control-allow-headers")).toBeNull();
      expect(other.get("vary")).toBe("origin");
    },
  );

  it("may read answers, errors included, with the id of the request", async () => {
    await using fixture = await new EdgeFixture({ origins: [chat] }).start();
    const url = `http://${fixture.edge.address}/nowhere`;
    const { headers, status } = await fetch(url, { headers: { origin: chat } });
    expect(status).toBe(404);
    expect(headers.get("access-control-allow-origin")).toBe(chat);
    expect(headers.get("access-control-expose-headers")).toContain("x-request-id");
  });

  it("are all let in by *, without a word of credentials", async () => {
    await using fixture = await new EdgeFixture({ origins: ["*"] }).start();
    const url = `http://${fixture.edge.address}/healthz`;
    const { headers } = await fetch(url, { headers: { origin: chat } });
    expect(headers.get("access-control-allow-origin")).toBe("*");
    expect(headers.get("access-control-allow-credentials")).toBeNull();
  });

  it.each([
    { origin: undefined, what: "what is no page", status: 401 },
    { origin: "http://edge.example", what: "the edge's own pages", status: 401 },
    { origin: chat, what: "pages of another origin", status: 403 },
    { origin: "null", what: "pages without an origin", status: 403 },
  ])("begin no turn, where the settings name none: $what → $status", async ({ origin, status }) => {
    await using fixture = await new EdgeFixture().start();
    const headers = { host: "edge.example", ...(origin !== undefined && { origin }) };
    // Not `fetch`, which names the host itself.
    const asked = request(`http://${fixture.edge.address}/v1/events`, { headers }).end();
    const [response] = await once(asked, "response");
    expect(response.statusCode).toBe(status);
    const reason = status === 403 ? "ORIGIN_NOT_ALLOWED" : "TOKEN_INVALID";
    expect(await json(response)).toMatchObject({ reason });
  });

  it.each(["chat.example", "https://chat.example/", "https://chat.example,http:"])(
    "can't be named like this: %s",
    (text) => {
      expect(() => parseConfig(edgeConfig, { PARLEY_EDGE_ORIGINS: text })).toThrow(ConfigError);
    },
  );
});
