import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { SendMessageResponseSchema } from "../gen/parley/message/v1/message_service_pb.js";
import { edgeService, offerMetadata } from "../mesh/edge-offer.ts";
import { CloseCode } from "./close-codes.ts";
import { EdgeFixture } from "./edge-fixture.ts";

const logOut = "parley.session.v1.SessionService/LogOut";

describe("a sign-in that ends", () => {
  it("[A3] closes the device's connection, and no other, within a second of the revocation", async () => {
    await using fixture = await new EdgeFixture().start();
    const lost = await fixture.signIn("alice/alice-1");
    const kept = await fixture.signIn("alice/alice-2");
    await kept.next("caughtUp");
    await fixture.revoke("alice", "alice-1");
    fixture.clock.advance(1_000);
    expect(await lost.closed).toMatchObject({ code: CloseCode.TOKEN_REVOKED });
    expect(await kept.isAlive()).toBe(true);
    expect(fixture.presence).toContain("logged out alice-1");
  });

  it("[A3] closes all connections of the account where the revocation names no device", async () => {
    await using fixture = await new EdgeFixture().start();
    const phone = await fixture.signIn("alice/alice-1");
    const laptop = await fixture.signIn("alice/alice-2");
    const other = await fixture.signIn("bob/bob-1");
    await other.next("caughtUp");
    await fixture.revoke("alice", "");
    fixture.clock.advance(1_000);
    expect(await phone.closed).toMatchObject({ code: CloseCode.TOKEN_REVOKED });
    expect(await laptop.closed).toMatchObject({ code: CloseCode.TOKEN_REVOKED });
    expect(await other.isAlive()).toBe(true);
  });

  it("[A3] is known to an edge that starts later, before it accepts anybody", async () => {
    await using fixture = new EdgeFixture();
    for (let i = 0; i < 1_500; i++) await fixture.revoke("eve", `eve-${i}`);
    await fixture.start();
    const device = await fixture.connect();
    device.send({ case: "hello", value: { accessToken: "eve/eve-1499" } });
    expect(await device.closed).toMatchObject({ code: CloseCode.TOKEN_REVOKED });
  });

  it("[A3] is not missed because the stream could not be read for a while", async () => {
    await using fixture = await new EdgeFixture().start();
    const device = await fixture.signIn("alice/alice-1");
    const { revocations } = fixture.streams;
    const read = revocations.read.bind(revocations);
    revocations.read = () => Promise.reject(new Error("away"));
    await fixture.revoke("alice", "alice-1");
    for (let i = 0; i < 10; i++) await fixture.pass(250);
    revocations.read = read;
    await fixture.pass(1_000);
    expect(await device.closed).toMatchObject({ code: CloseCode.TOKEN_REVOKED });
  });

  it("[P2] by LogOut answers the call, closes, and is offline without grace", async () => {
    await using fixture = await new EdgeFixture().start();
    const device = await fixture.signIn("alice/alice-1");
    await device.next("caughtUp");
    device.send({ case: "call", value: { requestId: 1, method: logOut } });
    expect((await device.next("result")).result.case).toBe("protobuf");
    expect(await device.closed).toMatchObject({ code: CloseCode.LOGGED_OUT });
    expect(fixture.presence).toEqual(["attached alice-1", "logged out alice-1"]);
  });
});

describe("a connection that ends", () => {
  it("[P2] is told to Presence when its client goes", async () => {
    await using fixture = await new EdgeFixture().start();
    const device = await fixture.signIn("alice/alice-1");
    device.ws.terminate();
    await expect.poll(() => fixture.presence).toEqual(["attached alice-1", "detached alice-1"]);
    expect(fixture.edge.connectionCount).toBe(0);
  });

  it("[P2] gives way to the next of the same device, which stays online", async () => {
    await using fixture = await new EdgeFixture().start();
    const before = await fixture.signIn("alice/alice-1");
    const after = await fixture.signIn("alice/alice-1");
    expect(await before.closed).toMatchObject({ code: CloseCode.REPLACED });
    await after.next("caughtUp");
    expect(await after.isAlive()).toBe(true);
    expect(fixture.presence).toEqual(["attached alice-1"]);
    expect([...fixture.edge.listDevices()]).toMatchObject([{ deviceId: "alice-1" }]);
  });

  it("leaves nothing behind, however often that happens while it signs in", async () => {
    await using fixture = await new EdgeFixture().start();
    for (let i = 0; i < 50; i++) {
      const device = await fixture.connect();
      device.send({ case: "hello", value: { accessToken: "alice/alice-1" } });
      if (i % 3 > 0) await new Promise((resolve) => setImmediate(resolve));
      device.ws.terminate();
      await device.closed;
    }
    await expect.poll(() => fixture.edge.connectionCount).toBe(0);
    await expect.poll(() => [...fixture.edge.listDevices()]).toEqual([]);
  });
});

describe("[R4] an edge that drains", () => {
  it("closes its connections in slices, with the time to come back in, and takes no new one", async () => {
    await using fixture = await new EdgeFixture({ drainMs: 1_000, drainSliceMin: 1 }).start();
    const devices = await Promise.all(
      Array.from({ length: 8 }, (_, i) => fixture.signIn(`user/device-${i}`)),
    );
    let closed = 0;
    for (const device of devices) void device.closed.then(() => closed++);
    const drained = fixture.edge.drain();
    for (const after of [2, 4, 6, 8]) {
      await expect.poll(() => closed).toBe(after);
      await fixture.pass(250);
    }
    await drained;
    expect(await devices[0]!.closed).toEqual({
      code: CloseCode.SERVICE_RESTART,
      reason: "retry_after_ms=2000",
    });
    const health = await fetch(`http://${fixture.edge.address}/healthz`);
    expect(health.status).toBe(503);
    const late = await fixture.connect();
    expect(await late.closed).toMatchObject({ code: CloseCode.SERVICE_RESTART });
  });

  it("says where to go, if clients reach edges by addresses of their own", async () => {
    const publicUrl = "https://edge-1.example.com";
    await using fixture = await new EdgeFixture({ publicUrl, drainSliceMin: 100 }).start();
    const urls = [2, 3].map((n) => `https://edge-${n}.example.com`);
    fixture.otherEdges.update(
      urls.map((url) => ({
        instanceId: url,
        service: edgeService,
        address: "127.0.0.1:1",
        metadata: offerMetadata({ url, region: "", connectionsMax: 1_000, load: 0 }),
      })),
    );
    const devices = await Promise.all(
      Array.from({ length: 32 }, (_, i) => fixture.signIn(`user/device-${i}`)),
    );
    await fixture.edge.drain();
    const reasons = await Promise.all(devices.map(async ({ closed }) => (await closed).reason));
    const expected = urls.map((url) => `retry_after_ms=2000 edge=${url}`);
    // By chance all go to one of two once in 2^31 runs.
    expect(new Set(reasons)).toEqual(new Set(expected));
  });

  it("answers what was asked before, and takes nothing more from who is about to go", async () => {
    await using fixture = await new EdgeFixture().start();
    fixture.holdsSends = true;
    const device = await fixture.signIn("alice/alice-1");
    await device.next("caughtUp");
    const request = { channelId: "g-1", clientMessageId: "c-1", text: "hello" };
    device.send({ case: "send", value: { requestId: 1, request } });
    await expect.poll(() => fixture.sends.length).toBe(1);
    const drained = fixture.edge.drain();
    const late = { ...request, clientMessageId: "c-2" };
    device.send({ case: "send", value: { requestId: 2, request: late } });
    await new Promise(setImmediate);
    fixture.sends[0]!.done(create(SendMessageResponseSchema, { channelSequence: 1 }));
    expect(await device.next("sendResult")).toMatchObject({ requestId: 1 });
    expect(await device.closed).toMatchObject({ code: CloseCode.SERVICE_RESTART });
    await drained;
    expect(fixture.sends).toHaveLength(1);
  });

  it("writes what its devices have acknowledged", async () => {
    await using fixture = await new EdgeFixture().start();
    const device = await fixture.signIn("alice/alice-1");
    await device.next("caughtUp");
    device.send({ case: "ack", value: { inboxSequence: 1n } });
    await device.isAlive();
    await fixture.edge.drain();
    expect(fixture.marked).toMatchObject([{ cursor: { inboxSequence: 1n } }]);
  });
});
