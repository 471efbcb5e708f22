/** How clients reach Message: over a network that loses, to instances that die. */
import {
  create,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, RpcError, toRpcError } from "../../mesh/errors.ts";
import type { CallContext, Identity } from "../../mesh/rpc.ts";
import { messageCodes } from "../../services/message/message-codes.ts";
import type { Cluster, Instance } from "./cluster.ts";
import type { RunFaults } from "./faults.ts";
import type { Blame } from "./true-log.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** How long clients wait for an answer. */
const timeoutMs = 6_000;
const { signal } = new AbortController();

/** The calls of all clients. */
export class Network {
  private readonly cluster: Cluster;
  private readonly time: VirtualTime;
  private readonly faults: RunFaults;
  private readonly blame: Blame;

  constructor(cluster: Cluster, time: VirtualTime, faults: RunFaults, blame: Blame) {
    this.blame = blame;
    this.cluster = cluster;
    this.time = time;
    this.faults = faults;
  }

  /** Calls a method of Message; the key picks the instance. @throws RpcError */
  call<M extends DescMethodUnary>(
    method: M,
    init: MessageInitShape<M["input"]>,
    routeBy: string,
    identity: Identity,
  ): Promise<MessageShape<M["output"]>> {
    const { time, faults } = this;
    const request = create<DescMethodUnary["input"]>(method.input, init);
    return new Promise((resolve, reject) => {
      const answer = (settle: () => void) => {
        if (!faults.calls.strikes("callLost")) time.schedule(faults.hopMs(), settle);
      };
      const refuse = (error: RpcError) => answer(() => reject(error));
      time.schedule(timeoutMs, () => {
        reject(new RpcError(Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "no answer"));
      });
      if (faults.calls.strikes("callLost")) return;
      const instance = this.cluster.route(routeBy);
      if (!instance) return refuse(new RpcError(Code.UNAVAILABLE, "UNAVAILABLE", "no instance"));
      instance.process.later(faults.hopMs(), () => {
        serve(instance, method, request as MessageShape<M["input"]>, identity).then(
          (bytes) =>
            answer(() => resolve(fromBinary(method.output, bytes) as MessageShape<M["output"]>)),
          (thrown) => {
            const error = toRpcError(thrown, messageCodes);
            if (error.code === Code.INTERNAL) {
              this.blame("progress", `${method.name} failed with ${thrown}`);
            }
            refuse(error);
          },
        );
      });
    });
  }
}

/** The answer is encoded when it is given: what the instance does afterwards does not change it. */
async function serve<M extends DescMethodUnary>(
  { process, handlers }: Instance,
  method: M,
  request: MessageShape<M["input"]>,
  identity: Identity,
): Promise<Uint8Array> {
  const context: CallContext = {
    identity,
    deadlineMs: process.clock.nowMs() + timeoutMs,
    signal,
    traceParent: "",
    clientAddress: "",
  };
  const handler = handlers[method.localName as keyof typeof handlers] as unknown as (
    request: MessageShape<M["input"]>,
    context: CallContext,
  ) => Promise<MessageInitShape<M["output"]>>;
  const response = await handler(request, context);
  return toBinary(method.output, create<DescMethodUnary["output"]>(method.output, response));
}
