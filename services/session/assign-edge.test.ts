import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { offerMetadata } from "../../mesh/edge-offer.ts";
import type { Registration } from "../../mesh/registry.ts";
import { TestSession } from "./test-session.ts";

let session: TestSession;
beforeAll(async () => {
  session = await TestSession.open({ PARLEY_SESSION_ASSIGNMENTS_PER_ADDRESS_MAX: "4" });
});
afterAll(() => session.close());

const urlOf = (name: string) => `https://${name}.test`;

function register(name: string, region = "", load = 0): Promise<Registration> {
  const offer = { url: urlOf(name), region, connectionsMax: 1_000, load };
  const metadata = offerMetadata(offer);
  const address = "127.0.0.1:1";
  const instance = { instanceId: name, service: "parley.edge", address, metadata };
  return session.registry.register(instance);
}

describe("edges in the answers of Session", () => {
  it("[D4] there are none where edges have no addresses of their own", async () => {
    const [service, address] = ["parley.edge", "127.0.0.1:1"];
    const edge = { instanceId: "edge-0", service, address, metadata: {} };
    const registration = await session.registry.register(edge);
    expect((await session.signUp()).edges).toEqual([]);
    await registration.deregister();
  });

  it("[A4] signing up, logging in, refreshing and AssignEdge name the best, and others in order", async () => {
    const registrations = await Promise.all([
      register("eu-1", "eu"),
      register("eu-2", "eu", 0.5),
      register("eu-3", "eu", 1),
      register("us-1", "us"),
    ]);
    const region = "us";
    const signedUp = await session.as().signUp({
      ...{ username: "ann", password: "correct horse", deviceName: "", region },
    });
    const { refreshToken } = signedUp.tokens!;
    const login = { login: "ann", password: "correct horse", region };
    const answers = [
      signedUp.edges,
      (await session.as().logIn(login)).edges,
      (await session.as().refreshTokens({ refreshToken, region })).edges,
      (await session.as().assignEdge({ region })).edges,
    ];
    for (const edges of answers) {
      expect(edges[0]).toMatchObject({ url: urlOf("us-1"), region });
      expect(edges.map(({ url }) => url).sort()).toEqual(["eu-1", "eu-2", "us-1"].map(urlOf));
    }
    const failedUrls = [urlOf("us-1"), urlOf("eu-1")];
    const { edges } = await session.as().assignEdge({ region, failedUrls });
    expect(edges.map(({ url }) => url)).toEqual(["eu-2", "us-1", "eu-1"].map(urlOf));

    await registrations[3]!.deregister();
    const { edges: after } = await session.as().assignEdge({ region });
    expect(after.map(({ url }) => url).sort()).toEqual(["eu-1", "eu-2"].map(urlOf));
    for (const registration of registrations) await registration.deregister();
  });

  it("[A4] an address asks only so often, and what is no region is refused", async () => {
    const refused = session.as().assignEdge({ region: "the moon" });
    await expect(refused).rejects.toMatchObject({ reason: "FIELD_INVALID" });
    const tooMany = session.as().assignEdge({ failedUrls: Array(21).fill("https://a.test") });
    await expect(tooMany).rejects.toMatchObject({ reason: "FIELD_INVALID" });
    await session.as().assignEdge({});
    const oneMore = session.as().assignEdge({});
    await expect(oneMore).rejects.toMatchObject({ reason: "TOO_MANY_ATTEMPTS" });
  });
});
