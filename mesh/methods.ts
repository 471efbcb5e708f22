/** What the contracts say of a method: who may call it, where it goes, how long, how often. */
import { type DescMethod, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency } from "@bufbuild/protobuf/wkt";
import { Caller, rules } from "../gen/parley/rpc/v1/method_rules_pb.js";

/** The rules of one method, read once. */
export interface MethodPolicy {
  /** "/parley.message.v1.MessageService/SendMessage" */
  path: string;
  caller: Caller;
  /** The local name of the request field that routes; undefined: round robin. */
  routeBy: string | undefined;
  deadlineMs: number;
  /** Whether the call may be made again after UNAVAILABLE. */
  retriable: boolean;
}

/** How long a call may take where its contract says nothing. */
const defaultDeadlineMs = 5_000;

const policies = new WeakMap<DescMethod, MethodPolicy>();

/** The policy of a method. @throws Error where its contract routes by a field that it lacks. */
export function methodPolicy(method: DescMethod): MethodPolicy {
  let policy = policies.get(method);
  if (!policy) {
    policy = readPolicy(method);
    policies.set(method, policy);
  }
  return policy;
}

/** The method's path on the wire. */
export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** The methods of these services that callers outside may use, by "package.Service/Method". */
export function publicMethods(services: readonly DescService[]): Map<string, DescMethod> {
  const methods = services.flatMap((service) => service.methods);
  return new Map(
    methods
      .filter((method) => methodPolicy(method).caller !== Caller.UNSPECIFIED)
      .map((method) => [methodPath(method).slice(1), method]),
  );
}

function readPolicy(method: DescMethod): MethodPolicy {
  const rule = hasOption(method, rules) ? getOption(method, rules) : undefined;
  const field = rule?.routeBy
    ? method.input.fields.find((candidate) => candidate.name === rule.routeBy)
    : undefined;
  if (rule?.routeBy && !field) {
    throw new Error(`${methodPath(method)} routes by ${rule.routeBy}, which its request lacks`);
  }
  return {
    path: methodPath(method),
    caller: rule?.caller ?? Caller.UNSPECIFIED,
    routeBy: field?.localName,
    deadlineMs: rule?.deadlineMs || defaultDeadlineMs,
    retriable: method.idempotency !== Idempotency.IDEMPOTENCY_UNKNOWN,
  };
}
