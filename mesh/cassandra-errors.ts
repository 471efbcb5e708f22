/** What a failed call to Cassandra says. */
import cassandra from "cassandra-driver";
import { BulkheadRejectedError, isBrokenCircuitError } from "cockatiel";

const { responseErrorCodes } = cassandra.types;
/** The statement's fault, not the cluster's. */
const refusals = new Set<number>([
  responseErrorCodes.syntaxError,
  responseErrorCodes.unauthorized,
  responseErrorCodes.invalid,
  responseErrorCodes.configError,
  responseErrorCodes.alreadyExists,
]);

/** Whether the cluster failed, or was not asked because it has been failing. */
export function isAway(error: unknown): boolean {
  const { ResponseError, DriverError, ArgumentError } = cassandra.errors;
  if (isBrokenCircuitError(error) || error instanceof BulkheadRejectedError) return true;
  if (error instanceof ResponseError) return !refusals.has(error.code);
  return error instanceof DriverError && !(error instanceof ArgumentError);
}

/** What a node made of the options: it is in no such data centre. */
export function wrongArgument(error: unknown): Error | undefined {
  const { NoHostAvailableError, ArgumentError } = cassandra.errors;
  if (!(error instanceof NoHostAvailableError)) return undefined;
  const refusals: Error[] = Object.values(error.innerErrors);
  return refusals.find((refusal) => refusal instanceof ArgumentError);
}

/** What each node did, in a line: the errors themselves hold each other's stacks. */
export function reasonsOf(error: unknown): string[] {
  const { NoHostAvailableError } = cassandra.errors;
  const byHost = error instanceof NoHostAvailableError ? Object.entries(error.innerErrors) : [];
  if (byHost.length === 0) return [messageOf(error)];
  return byHost.map(([host, failure]) => `${host}: ${messageOf(failure)}`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What a caller is told of it. @param waitingMax how many statements may wait */
export function reasonOf(error: unknown, waitingMax: number): string {
  if (isBrokenCircuitError(error)) return "Cassandra keeps failing and is not asked for a while";
  if (error instanceof BulkheadRejectedError) return tooManyWait(waitingMax);
  return "Cassandra did not answer as asked";
}

/** What a caller is told where so many wait. */
export function tooManyWait(waitingMax: number): string {
  return `${waitingMax} statements wait already`;
}
