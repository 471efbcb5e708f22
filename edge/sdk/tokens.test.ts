import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter } from "@connectrpc/connect";
import { Code, ConnectError, createConnectRouter } from "@connectrpc/connect";
import { createFetchHandler } from "@connectrpc/connect/protocol";
import { describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { SessionService } from "../../gen/parley/session/v1/session_service_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { connected, openFixture, settled, signIn } from "./client-fixture.ts";
import { FakeEdge } from "./edge-fake.ts";
import { errorReason } from "./errors.ts";
import { ServerClock } from "./server-clock.ts";
import { logIn, memoryTokenStore, signUp, Tokens } from "./tokens.ts";

/** Serves SessionService over fetch, without a network. */
function sessionFetch(clock: ManualClock) {
  const refreshed: string[] = [];
  const tokens = () => ({
    accessToken: `access-${refreshed.length + 1}`,
    accessExpireTime: timestampFromMs(clock.nowMs() + 900_000),
    refreshToken: `refresh-${refreshed.length + 1}`,
    refreshExpireTime: timestampFromMs(clock.nowMs() + 30 * 86_400_000),
  });
  const refuse = (code: Code, reason: string) => {
    const details = [{ desc: ErrorInfoSchema, value: { reason, domain: "parley" } }];
    return new ConnectError(reason, code, undefined, details);
  };
  const routes = (router: ConnectRouter) =>
    router.service(SessionService, {
      signUp: ({ username }) => {
        if (username === "taken") throw refuse(Code.AlreadyExists, "USERNAME_TAKEN");
        return { user: { userId: signIn.userId, username }, deviceId: "d1", tokens: tokens() };
      },
      logIn: ({ login }) => {
        const user = { userId: signIn.userId, username: login };
        return { user, deviceId: "d1", tokens: tokens() };
      },
      refreshTokens: ({ refreshToken }) => {
        if (refreshed.includes(refreshToken)) {
          throw refuse(Code.Unauthenticated, "REFRESH_TOKEN_REUSED");
        }
        refreshed.push(refreshToken);
        return { tokens: tokens() };
      },
    });
  const router = createConnectRouter();
  routes(router);
  const handlers = new Map(
    router.handlers.map((handler) => [handler.requestPath, createFetchHandler(handler)]),
  );
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    return handlers.get(new URL(request.url).pathname)!(request);
  };
  return { fetch, refreshed };
}

const url = "http://edge.test";

describe("signing in", () => {
  it("[A1] gives a sign-in that can be kept as JSON", async () => {
    const clock = new ManualClock();
    const { fetch } = sessionFetch(clock);
    const signedUp = await signUp({ url, fetch, username: "ann", password: "correct horse" });
    expect(JSON.parse(JSON.stringify(signedUp))).toEqual(signedUp);
    const loggedIn = await logIn({ url, fetch, login: "ann", password: "correct horse" });
    expect(loggedIn).toMatchObject({ username: "ann", accessToken: "access-1" });
  });

  it("says why it is refused, with the stable reason", async () => {
    const { fetch } = sessionFetch(new ManualClock());
    const refused = signUp({ url, fetch, username: "taken", password: "correct horse" });
    const error = await refused.catch((error: unknown) => error);
    expect(errorReason(error)).toBe("USERNAME_TAKEN");
    expect((error as ConnectError).code).toBe(Code.AlreadyExists);
  });

  it("a response that breaks off is UNAVAILABLE", async () => {
    const broken = new ReadableStream({ pull: (stream) => stream.error(new TypeError("cut")) });
    const headers = { "content-type": "application/proto" };
    const fetch = async () => new Response(broken, { headers });
    const cut = logIn({ url, fetch, login: "ann", password: "correct horse" });
    await expect(cut).rejects.toMatchObject({ code: Code.Unavailable });
  });

  it("a server that can't be reached is UNAVAILABLE", async () => {
    const fetch = () => Promise.reject(new TypeError("fetch failed"));
    const refused = logIn({ url, fetch, login: "ann", password: "correct horse" });
    await expect(refused).rejects.toThrow("http://edge.test can't be reached");
  });
});

describe("Tokens", () => {
  async function load(fields = {}) {
    const clock = new ManualClock();
    const session = sessionFetch(clock);
    const expire = { accessExpireTimeMs: clock.nowMs() + 900_000 };
    const store = memoryTokenStore({ ...signIn, ...expire, ...fields });
    const serverClock = new ServerClock(clock);
    const tokens = await Tokens.load({ url, store, serverClock, fetch: session.fetch });
    return { clock, serverClock, store, tokens, ...session };
  }

  it("gives the access token until a minute before its end, then a new one", async () => {
    const { clock, tokens, store } = await load();
    clock.advance(839_000);
    expect(await tokens.accessToken()).toBe("access-1");
    clock.advance(2_000);
    expect(await tokens.accessToken()).toBe("access-2");
    expect(await store.load()).toMatchObject({ refreshToken: "refresh-2" });
  });

  it("goes by the server's clock once that is known, whatever the device's own says", async () => {
    const { clock, serverClock, tokens, refreshed } = await load();
    const serverTimeMs = clock.nowMs();
    clock.stepWallClock(14.5 * 60_000);
    serverClock.set(serverTimeMs);
    await tokens.accessToken();
    await tokens.keep();
    expect(refreshed).toEqual([]);
    clock.stepWallClock(-60 * 60_000);
    serverClock.set(serverTimeMs + 841_000);
    expect(await tokens.accessToken()).toBe("access-2");
  });

  it("a client takes the server's clock from its connection", async () => {
    const edge = new FakeEdge();
    const clock = new ManualClock();
    const { fetch, refreshed } = sessionFetch(clock);
    edge.serverTimeMs = clock.nowMs() - 14 * 60_000;
    const accessExpireTimeMs = clock.nowMs() + 61_000;
    const tokens = memoryTokenStore({ ...signIn, accessExpireTimeMs });
    const fixture = await connected(await openFixture(edge, clock, { fetch, tokens }));
    await fixture.pass(2_000);
    edge.cut();
    await fixture.pass(2_000);
    expect(edge.hellos).toHaveLength(2);
    expect(refreshed).toEqual([]);
  });

  it("refreshes once for all who ask at the same time", async () => {
    const { clock, tokens, refreshed } = await load();
    clock.advance(900_000);
    const given = await Promise.all([tokens.accessToken(), tokens.accessToken(), tokens.refresh()]);
    expect(given.slice(0, 2)).toEqual(["access-2", "access-2"]);
    expect(refreshed).toEqual(["refresh-1"]);
  });

  it("takes what another holder of the same store has refreshed", async () => {
    const { store, tokens, refreshed } = await load();
    await store.save({ ...signIn, accessToken: "access-9", refreshToken: "refresh-9" });
    await tokens.refresh();
    expect(await tokens.accessToken()).toBe("access-9");
    expect(refreshed).toEqual([]);
  });

  it("forgets a sign-in whose refresh token is refused", async () => {
    const { serverClock, tokens, fetch } = await load();
    await tokens.refresh();
    const store = memoryTokenStore(signIn);
    const stolen = await Tokens.load({ url, store, serverClock, fetch });
    expect(errorReason(await stolen.refresh().catch((error) => error))).toBe(
      "REFRESH_TOKEN_REUSED",
    );
    expect(await store.load()).toBeUndefined();
  });

  it("renews a refresh token in its last week", async () => {
    const nowMs = new ManualClock().nowMs();
    const { clock, tokens, refreshed } = await load({
      refreshExpireTimeMs: nowMs + 8 * 86_400_000,
    });
    await tokens.keep();
    expect(refreshed).toEqual([]);
    clock.advance(2 * 86_400_000);
    await tokens.keep();
    expect(refreshed).toEqual(["refresh-1"]);
  });

  it("an edge that finds the access token expired gets a new one", async () => {
    const edge = new FakeEdge();
    const clock = new ManualClock();
    const { fetch, refreshed } = sessionFetch(clock);
    const fixture = await openFixture(edge, clock, { fetch });
    edge.helloClose = { code: 4005, reason: "the access token has expired" };
    const connecting = fixture.client.connect();
    await settled();
    edge.helloClose = undefined;
    await fixture.pass(5_000);
    // Requests and responses are streams, which take their own time.
    await connecting;
    expect(refreshed).toEqual(["refresh-1"]);
    expect(edge.hellos.map(({ accessToken }) => accessToken)).toEqual(["access-1", "access-2"]);
    await connected(fixture);
  });
});
