import { randomBytes } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, inject, it, vi } from "vitest";
import { ReserveIdsRequestSchema } from "../../gen/parley/idgen/v1/idgen_service_pb.js";
import { systemClock } from "../../mesh/clock.ts";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { parseConfig } from "../../mesh/config.ts";
import { ConsulClient } from "../../mesh/consul-client.ts";
import { ConsulLeases } from "../../mesh/leases-consul.ts";
import type { LogFields } from "../../mesh/logger.ts";
import type { CallContext } from "../../mesh/rpc.ts";
import { TcpProxy } from "../../mesh/tcp-proxy.ts";
import { idgenConfig } from "./idgen-config.ts";
import { createIdGenService, type IdGen } from "./idgen-service.ts";

const { consulUrl } = inject("servers");
const keyPrefix = `test-idgen-${randomBytes(6).toString("hex")}/`;
const minuteMs = 60_000;

async function firstId(idgen: IdGen): Promise<bigint> {
  const request = create(ReserveIdsRequestSchema, { count: 10, greaterThan: 0n });
  const { ranges } = await idgen.handlers.reserveIds(request, {} as CallContext);
  return ranges![0]!.firstId!;
}

describe("IdGen on Consul", () => {
  let proxy: TcpProxy;
  beforeAll(async () => {
    proxy = await TcpProxy.start(new URL(consulUrl).host);
  });
  afterAll(async () => {
    await proxy.stop();
    await new ConsulClient({ url: consulUrl, clock: systemClock }).deleteEntries(keyPrefix);
  });

  it("[D2] [M4] Consul away for an hour (clock advanced) and ids go on, then the lease is renewed", async () => {
    const clock = new ManualClock();
    const consul = new ConsulClient({ url: `http://${proxy.address}`, clock: systemClock });
    const lines: LogFields[] = [];
    const add = (fields: LogFields) => void lines.push(fields);
    const log = { debug: add, info: add, warn: add, error: add };
    const leases = new ConsulLeases({ consul, keyPrefix, clock, log });
    const config = parseConfig(idgenConfig, {});
    const idgen = createIdGenService({ leases, clock, config, log });
    await idgen.start();
    // Its timer is set in the next turn.
    await new Promise(setImmediate);
    // As long after the last renewal as can be.
    clock.advance(config.leaseMs / 3 - 1);
    proxy.cut();

    let last = await firstId(idgen);
    // Said once, however many fail.
    const failedRenewals = () =>
      lines.filter(({ event }) => event === "worker_id_not_leased").length;
    for (let minutes = 0; minutes < 60; minutes++) {
      clock.advance(minuteMs);
      await vi.waitFor(() => expect(failedRenewals()).toBe(1));
      const next = await firstId(idgen);
      expect(next).toBeGreaterThan(last);
      last = next;
    }

    proxy.restore();
    const endMs = await heldUntil();
    await vi.waitFor(async () => {
      clock.advance(2_000);
      expect(await heldUntil()).toBeGreaterThan(endMs);
    });
    clock.advance(3 * 60 * minuteMs);
    await vi.waitFor(async () => expect(await firstId(idgen)).toBeGreaterThan(last));
    await idgen.close();
    expect(await heldUntil()).toBe(0);
  });

  /** The end of the only lease, as Consul has it. */
  async function heldUntil(): Promise<number> {
    const consul = new ConsulClient({ url: consulUrl, clock: systemClock });
    const [entry] = await consul.listEntries(keyPrefix);
    return (JSON.parse(entry!.value) as { endMs: number }).endMs;
  }
});
