/**
 * The part of Consul's HTTP API that Parley uses: key-value entries with compare-and-set,
 * services of the local agent, and the healthy instances of a service. Every answer is checked;
 * anything else than what is expected is a {@link ConsulError}.
 */
import { z } from "zod";
import type { Clock } from "./clock.ts";

/** Where Consul is. */
export interface ConsulOptions {
  /** The agent of this machine: "http://127.0.0.1:8500". */
  url: string;
  /** An ACL token; empty: none. */
  token?: string;
  /** How long an answer may take, besides what a blocking query waits. Default: 5,000. */
  timeoutMs?: number;
  clock: Clock;
}

/** Consul did not answer, or not as it should. Whether a write happened is not known. */
export class ConsulError extends Error {
  override readonly name = "ConsulError";
  /** The HTTP status; undefined: there was no answer. */
  readonly status: number | undefined;

  constructor(message: string, status?: number, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = status;
  }
}

/** A key with its value. */
export interface ConsulEntry {
  key: string;
  value: string;
  /** Grows with each write of the key: what a compare-and-set compares. */
  modifyIndex: number;
}

/** An instance of a service, as Consul knows it. */
export interface ConsulService {
  id: string;
  address: string;
  port: number;
  metadata: Readonly<Record<string, string>>;
}

/** An instance, and what its checks say. */
export interface ConsulServiceState extends ConsulService {
  /** Whether all of its checks pass. */
  isHealthy: boolean;
}

/** A service to be registered. https://developer.hashicorp.com/consul/api-docs/agent/service */
export interface ConsulServiceDefinition {
  ID: string;
  Name: string;
  Address: string;
  Port: number;
  Meta: Readonly<Record<string, string>>;
  Checks: readonly Readonly<Record<string, string | number>>[];
}

/** A blocking query. */
export interface ConsulQuery {
  /** That of the last answer; 0: answer at once. */
  index: number;
  /** How long to wait for a change, at least 1. Consul adds up to a sixteenth. */
  waitMs: number;
  /** Ends the query. */
  signal: AbortSignal;
}

/** An answer longer than this is refused: 10,000 instances take about 8 MB. */
const bodyBytesMax = 16 * 1024 * 1024;
/** So much of an error's text is passed on. */
const errorCharsMax = 300;

/** Talks to one agent. */
export class ConsulClient {
  private readonly options: ConsulOptions;
  private readonly timeoutMs: number;

  constructor(options: ConsulOptions) {
    this.options = options;
    this.timeoutMs = options.timeoutMs ?? 5_000;
  }

  /** Reads a key; undefined: there is none. */
  async getEntry(key: string): Promise<ConsulEntry | undefined> {
    const answer = await this.request("GET", keyPath(key), { accept: [200, 404] });
    return answer.status === 404 ? undefined : answer.parse(entriesSchema)[0];
  }

  /** Reads all keys that begin so, in their order. */
  async listEntries(prefix: string): Promise<ConsulEntry[]> {
    const path = `${keyPath(prefix)}?recurse=true`;
    const answer = await this.request("GET", path, { accept: [200, 404] });
    return answer.status === 404 ? [] : answer.parse(entriesSchema);
  }

  /**
   * Writes a key if its `modifyIndex` is still the given one; 0: if there is no such key.
   * @returns whether it was written.
   */
  async setEntry(key: string, value: string, modifyIndex: number): Promise<boolean> {
    const path = `${keyPath(key)}?cas=${modifyIndex}`;
    return (await this.request("PUT", path, { body: value })).parse(z.boolean());
  }

  /** Deletes all keys that begin so. */
  async deleteEntries(prefix: string): Promise<void> {
    await this.request("DELETE", `${keyPath(prefix)}?recurse=true`);
  }

  /** Registers a service with the agent, in place of one of that id. */
  async registerService(definition: ConsulServiceDefinition): Promise<void> {
    const path = "/v1/agent/service/register?replace-existing-checks=true";
    await this.request("PUT", path, { body: JSON.stringify(definition) });
  }

  /** Takes a service off the agent; one that it does not know is fine. */
  async deregisterService(id: string): Promise<void> {
    const path = `/v1/agent/service/deregister/${encodeURIComponent(id)}`;
    await this.request("PUT", path, { accept: [200, 404] });
  }

  /** Whether the agent knows the service. */
  async hasService(id: string): Promise<boolean> {
    const path = `/v1/agent/service/${encodeURIComponent(id)}`;
    return (await this.request("GET", path, { accept: [200, 404] })).status === 200;
  }

  /** Says that a TTL check passes. @returns false: the agent knows no such check. */
  async passCheck(id: string): Promise<boolean> {
    const path = `/v1/agent/check/pass/${encodeURIComponent(id)}`;
    return (await this.request("PUT", path, { accept: [200, 404] })).status === 200;
  }

  /**
   * The instances of a service whose checks all pass, by any server's knowledge, also where there
   * is no leader. Answers when there is a change after `index`, or the wait is over; that it
   * answers does not mean that anything has changed.
   */
  async healthyServices(
    name: string,
    { index, waitMs, signal }: ConsulQuery,
  ): Promise<{ index: number; services: ConsulService[] }> {
    const query = `passing=true&stale=true&index=${index}&wait=${Math.ceil(waitMs)}ms`;
    const path = `/v1/health/service/${encodeURIComponent(name)}?${query}`;
    const timeoutMs = this.timeoutMs + (index > 0 ? waitMs * (1 + 1 / 16) : 0);
    const answer = await this.request("GET", path, { timeoutMs, signal });
    return { index: answer.index(), services: answer.parse(servicesSchema) };
  }

  /** The names of all services that anybody has registered, in their order. */
  async listServiceNames(): Promise<string[]> {
    const answer = await this.request("GET", "/v1/catalog/services?stale=true");
    return Object.keys(answer.parse(z.record(z.string(), z.unknown()))).sort();
  }

  /** All instances of a service, healthy or not. */
  async serviceStates(name: string): Promise<ConsulServiceState[]> {
    const path = `/v1/health/service/${encodeURIComponent(name)}?stale=true`;
    return (await this.request("GET", path)).parse(statesSchema);
  }

  private async request(method: string, path: string, request: Request = {}): Promise<Answer> {
    const { url, token, clock } = this.options;
    const { body, accept = [200], timeoutMs = this.timeoutMs, signal } = request;
    const what = `Consul ${url}: ${method} ${path}`;
    const timeout = new AbortController();
    const timer = clock.setTimer(timeoutMs, () => {
      timeout.abort(new ConsulError(`${what}: no answer within ${Math.ceil(timeoutMs)} ms`));
    });
    try {
      const response = await fetch(new URL(path, url), {
        method,
        headers: token ? { "x-consul-token": token } : {},
        redirect: "error",
        signal: signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal,
        ...(body !== undefined && { body }),
      });
      const text = await boundedText(response, what);
      const { status, headers } = response;
      if (!accept.includes(status)) {
        const said = text.slice(0, errorCharsMax).trim();
        throw new ConsulError(
          `${what}: status ${status} (${said}), expected ${accept.join(" or ")}`,
          status,
        );
      }
      // An empty list of what the token may not see is no empty list.
      if (headers.get("x-consul-results-filtered-by-acls") === "true") {
        throw new ConsulError(`${what}: the ACL token may not read all of it`, status);
      }
      return new Answer(what, status, headers, text);
    } catch (error) {
      if (error instanceof ConsulError) throw error;
      const { cause = error } = error as Error;
      throw new ConsulError(`${what}: ${(cause as Error).message}`, undefined, error);
    } finally {
      timer.cancel();
    }
  }
}

interface Request {
  body?: string;
  /** The statuses that are no error. Default: 200. */
  accept?: readonly number[];
  timeoutMs?: number;
  signal?: AbortSignal;
}

class Answer {
  readonly status: number;
  private readonly what: string;
  private readonly headers: Headers;
  private readonly text: string;

  constructor(what: string, status: number, headers: Headers, text: string) {
    this.what = what;
    this.status = status;
    this.headers = headers;
    this.text = text;
  }

  /** The body, checked. */
  parse<T>(schema: z.ZodType<T>): T {
    const parsed = schema.safeParse(jsonOf(this.text));
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    const at = issue!.path.join(".") || "the body";
    throw new ConsulError(`${this.what}: ${at}: ${issue!.message}`, this.status);
  }

  /** What the next blocking query goes on from. */
  index(): number {
    const text = this.headers.get("x-consul-index") ?? "";
    if (/^\d{1,15}$/.test(text)) return Number(text);
    const found = JSON.stringify(text.slice(0, errorCharsMax));
    throw new ConsulError(`${this.what}: X-Consul-Index is ${found}, not a number`, this.status);
  }
}

const entriesSchema = z.array(
  z
    .object({
      Key: z.string(),
      Value: z.base64().nullable(),
      ModifyIndex: z.int().min(1),
    })
    .transform(
      ({ Key, Value, ModifyIndex }): ConsulEntry => ({
        key: Key,
        value: Buffer.from(Value ?? "", "base64").toString("utf8"),
        modifyIndex: ModifyIndex,
      }),
    ),
);

const serviceSchema = z.object({
  Node: z.object({ Address: z.string() }),
  Service: z.object({
    ID: z.string().min(1),
    Address: z.string(),
    // What has no port has none in the answer.
    Port: z.int().min(0).max(65_535).default(0),
    Meta: z.record(z.string(), z.string()).nullable(),
  }),
});

const servicesSchema = z.array(serviceSchema.transform(toService));

const statesSchema = z.array(
  serviceSchema.extend({ Checks: z.array(z.object({ Status: z.string() })) }).transform(
    (entry): ConsulServiceState => ({
      ...toService(entry),
      isHealthy: entry.Checks.every(({ Status }) => Status === "passing"),
    }),
  ),
);

function toService({ Node, Service }: z.output<typeof serviceSchema>): ConsulService {
  return {
    id: Service.ID,
    // A service without an address of its own is where its node is.
    address: Service.Address || Node.Address,
    port: Service.Port,
    metadata: Service.Meta ?? {},
  };
}

function keyPath(key: string): string {
  return `/v1/kv/${key.split("/").map(encodeURIComponent).join("/")}`;
}

/** What is no JSON is undefined, which no schema takes. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function boundedText(response: Response, what: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) {
      throw new ConsulError(`${what}: more than ${bodyBytesMax} bytes`, response.status);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
