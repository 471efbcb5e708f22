/**
 * Calls services: finds instances through the registry, picks one by rendezvous or in turn,
 * keeps deadlines, retries what may be retried, and stops asking an instance that keeps failing.
 */
import {
  create,
  type DescMethodBiDiStreaming,
  type DescMethodUnary,
  type DescService,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { isBrokenCircuitError } from "cockatiel";
import { type Clock, sleep } from "./clock.ts";
import { GrpcDuplex } from "./duplex.ts";
import { Code, RpcError, retryAfterMsDefault } from "./errors.ts";
import { meshMetadataKey, signCall } from "./identity.ts";
import { breakMs, type InstanceLink, InstancePool } from "./instance-pool.ts";
import type { Logger } from "./logger.ts";
import { methodDefinition } from "./method-definition.ts";
import { methodPath, methodPolicy } from "./methods.ts";
import type { Metrics } from "./metrics.ts";
import type { Registry } from "./registry.ts";
import type { CallOptions, Client, DuplexStream, Identity, Mesh } from "./rpc.ts";
import { errorFromStatus } from "./status-details.ts";

/** What calling needs. */
export interface DialOptions {
  registry: Registry;
  /** The secret that the processes of the mesh share. */
  meshSecret: string;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}

/** Attempts of one call, the first included. */
const attemptsMax = 3;
/** The pause before a second attempt is 0 to this; it doubles for the third. */
const retryPauseMs = 100;

/**
 * Connects to the mesh. A service's instances are looked for from the first `client` or call of it
 * on: with a client made at the start they are known when the registry goes away before the first
 * call.
 */
export function dial(options: DialOptions): Mesh & DirectCalls {
  return new DialedMesh(options);
}

/** Calls of one instance by its id, for services that own keys. */
export interface DirectCalls {
  /** As {@link Mesh.call}, on this instance and without a second attempt. @throws RpcError */
  callInstance<M extends DescMethodUnary>(
    instanceId: string,
    method: M,
    request: MessageInitShape<M["input"]>,
    options?: CallOptions,
  ): Promise<MessageShape<M["output"]>>;
}

class DialedMesh implements Mesh, DirectCalls {
  private readonly options: DialOptions;
  private readonly pools = new Map<string, InstancePool>();
  private readonly attempts;

  constructor(options: DialOptions) {
    this.options = options;
    this.attempts = options.metrics.counter("parley_rpc_attempts_total", "Attempts of calls", [
      "method",
      "code",
    ]);
  }

  client<S extends DescService>(service: S): Client<S> {
    this.pool(service);
    const unary = service.methods.filter(
      (method): method is DescMethodUnary => method.methodKind === "unary",
    );
    const calls = unary.map((method) => [
      method.localName,
      (request: MessageInitShape<typeof method.input>, options?: CallOptions) =>
        this.call(method, create(method.input, request), options),
    ]);
    return Object.fromEntries(calls) as Client<S>;
  }

  async call<M extends DescMethodUnary>(
    method: M,
    request: MessageShape<M["input"]>,
    options: CallOptions = {},
  ): Promise<MessageShape<M["output"]>> {
    const { clock } = this.options;
    const policy = methodPolicy(method);
    const pool = this.pool(method.parent);
    const timeoutMs = Math.min(options.timeoutMs || policy.deadlineMs, policy.deadlineMs);
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    const routeKey = policy.routeBy && (request as Record<string, unknown>)[policy.routeBy];
    const failed = new Set<string>();
    if (!pool.known) await pool.whenKnown(timeoutMs, clock);
    for (let attempt = 1; ; attempt++) {
      const picked = pool.pick(routeKey as string | undefined, failed);
      const leftMs = deadlineMs - clock.monotonicMs();
      try {
        if (!picked) throw noInstance(method.parent);
        return await this.attempt(picked, method, request, options, leftMs);
      } catch (thrown) {
        const error = thrown as RpcError;
        const pauseMs = Math.random() * retryPauseMs * 2 ** (attempt - 1);
        const again =
          error.code === Code.UNAVAILABLE &&
          policy.retriable &&
          attempt < attemptsMax &&
          pauseMs < deadlineMs - clock.monotonicMs();
        if (!again) throw error;
        if (picked) failed.add(picked.instanceId);
        await sleep(clock, pauseMs);
      }
    }
  }

  async callInstance<M extends DescMethodUnary>(
    instanceId: string,
    method: M,
    request: MessageInitShape<M["input"]>,
    options: CallOptions = {},
  ): Promise<MessageShape<M["output"]>> {
    const link = this.pool(method.parent).get(instanceId);
    if (!link) throw noInstance(method.parent);
    const policy = methodPolicy(method);
    const timeoutMs = Math.min(options.timeoutMs || policy.deadlineMs, policy.deadlineMs);
    const message = create(method.input, request) as MessageShape<M["input"]>;
    return this.attempt(link, method, message, options, timeoutMs);
  }

  instanceIds(service: DescService): readonly string[] {
    return this.pool(service).instanceIds;
  }

  watchInstances(service: DescService, onChange: (instanceIds: readonly string[]) => void): void {
    this.pool(service).onChange(onChange);
  }

  openStream<M extends DescMethodBiDiStreaming>(
    method: M,
    instanceId: string,
  ): DuplexStream<MessageShape<M["output"]>, MessageInitShape<M["input"]>> {
    const link = this.pool(method.parent).get(instanceId);
    if (!link) {
      const stream = new ClosedStream<MessageShape<M["output"]>, MessageInitShape<M["input"]>>();
      queueMicrotask(() => stream.onClose(noInstance(method.parent)));
      return stream;
    }
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const call = link.client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      this.metadata(path, undefined, {}),
    );
    return new GrpcDuplex<MessageShape<M["output"]>, MessageInitShape<M["input"]>>(call as never);
  }

  async close(): Promise<void> {
    for (const pool of this.pools.values()) pool.close();
  }

  private async attempt<M extends DescMethodUnary>(
    link: InstanceLink,
    method: M,
    request: MessageShape<M["input"]>,
    options: CallOptions,
    timeoutMs: number,
  ): Promise<MessageShape<M["output"]>> {
    const name = methodPath(method).slice(1);
    const isHurried = timeoutMs < methodPolicy(method).deadlineMs / 2;
    try {
      const response = await link.breaker.execute(async () => {
        try {
          return await this.unary(link.client, method, request, options, timeoutMs);
        } catch (error) {
          const { code } = error as RpcError;
          throw isHurried && code === Code.DEADLINE_EXCEEDED ? new Uncounted(error) : error;
        }
      });
      this.attempts.inc({ method: name, code: "0" });
      return response as MessageShape<M["output"]>;
    } catch (caught) {
      const thrown = caught instanceof Uncounted ? caught.cause : caught;
      const error = isBrokenCircuitError(thrown)
        ? new RpcError(Code.UNAVAILABLE, "UNAVAILABLE", `${link.instanceId} keeps failing`, {
            retryAfterMs: breakMs,
          })
        : (thrown as RpcError);
      this.attempts.inc({ method: name, code: String(error.code) });
      throw error;
    }
  }

  private unary(
    client: grpc.Client,
    method: DescMethodUnary,
    request: Message,
    options: CallOptions,
    timeoutMs: number,
  ): Promise<Message> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const metadata = this.metadata(path, options.identity, options);
    const { clock } = this.options;
    const deadline = clock.nowMs() + timeoutMs;
    return new Promise((resolve, reject) => {
      const callback: grpc.requestCallback<Message> = (error, response) => {
        if (error) reject(errorFromStatus(error.code, error.details, error.metadata));
        else resolve(response!);
      };
      const codecs = [requestSerialize, responseDeserialize] as const;
      try {
        client.makeUnaryRequest(path, ...codecs, request, metadata, { deadline }, callback);
      } catch (error) {
        // The instance has gone since it was picked, and its client was closed.
        const text = error instanceof Error ? error.message : String(error);
        reject(errorFromStatus(Code.UNAVAILABLE, text, new grpc.Metadata()));
      }
    });
  }

  private metadata(path: string, identity: Identity | undefined, options: CallOptions) {
    const { meshSecret, clock } = this.options;
    const metadata = new grpc.Metadata();
    metadata.set(meshMetadataKey, signCall(meshSecret, path, identity, clock.nowMs()));
    if (options.traceParent) metadata.set("traceparent", options.traceParent);
    if (options.clientAddress) metadata.set("parley-client-address", options.clientAddress);
    return metadata;
  }

  private pool(service: DescService): InstancePool {
    let pool = this.pools.get(service.typeName);
    if (!pool) {
      pool = new InstancePool(service.typeName, this.options.registry);
      this.pools.set(service.typeName, pool);
    }
    return pool;
  }
}

function noInstance(service: DescService): RpcError {
  return new RpcError(
    Code.UNAVAILABLE,
    "UNAVAILABLE",
    `no instance of ${service.typeName} is known`,
    {
      retryAfterMs: retryAfterMsDefault,
    },
  );
}

/**
 * A failure on its way past the breaker. Who waited for less than half of a method's deadline has
 * learnt nothing about the instance; else a client that allows 1 ms would cut off everybody.
 */
class Uncounted extends Error {
  constructor(cause: unknown) {
    super("not counted", { cause });
  }
}

/** The stream to an instance that is not there. */
class ClosedStream<In, Out> implements DuplexStream<In, Out> {
  onMessage: (message: In) => void = () => {};
  onClose: (error: Error | undefined) => void = () => {};
  onDrain: () => void = () => {};
  write(): boolean {
    return true;
  }
  end(): void {}
}
