import { describe, expect, it } from "vitest";
import { EdgeFixture } from "./edge-fixture.ts";

const paths = [
  { path: "/docs", type: "text/html; charset=utf-8", has: '<script src="/docs/start.js">' },
  { path: "/docs/start.js", type: "text/javascript; charset=utf-8", has: "/openapi.yaml" },
  { path: "/docs/swagger-ui-bundle.js", type: "text/javascript; charset=utf-8", has: "Swagger" },
  { path: "/docs/swagger-ui.css", type: "text/css", has: ".swagger-ui" },
  {
    path: "/openapi.yaml",
    type: "application/yaml",
    has: "/parley.session.v1.SessionService/LogIn",
  },
];

describe("[O4] the page to try the HTTP API", () => {
  it.each(paths)("has $path from the edge itself, which lets it call nobody else", async (each) => {
    await using fixture = await new EdgeFixture().start();
    const response = await fetch(`http://${fixture.edge.address}${each.path}`);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe(each.type);
    expect(response.headers.get("content-security-policy")).toContain("connect-src 'self'");
    expect(response.headers.get("content-security-policy")).not.toContain("unsafe");
    expect(await response.text()).toContain(each.has);
  });

  it("is where the bare address leads", async () => {
    await using fixture = await new EdgeFixture().start();
    const answer = await fetch(`http://${fixture.edge.address}/`, { redirect: "manual" });
    expect(answer.status).toBe(302);
    expect(answer.headers.get("location")).toBe("/docs");
  });

  it("has no script or style of its own in it", async () => {
    await using fixture = await new EdgeFixture().start();
    const page = await (await fetch(`http://${fixture.edge.address}/docs`)).text();
    expect(page).not.toMatch(/<style|style=|<script>|https?:/);
  });

  it("can only be read", async () => {
    await using fixture = await new EdgeFixture().start();
    const url = `http://${fixture.edge.address}/docs`;
    const head = await fetch(url, { method: "HEAD" });
    expect(Number(head.headers.get("content-length"))).toBeGreaterThan(100);
    const posted = await fetch(url, { method: "POST", body: "x" });
    expect(posted.status).toBe(405);
    expect(posted.headers.get("allow")).toBe("GET, HEAD");
  });

  it("is not there where the settings say so", async () => {
    await using fixture = await new EdgeFixture({ docs: false }).start();
    for (const path of ["/", ...paths.map(({ path }) => path)]) {
      expect((await fetch(`http://${fixture.edge.address}${path}`)).status).toBe(404);
    }
  });
});
