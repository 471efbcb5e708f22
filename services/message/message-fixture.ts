/** Message over streams and a store in memory for tests: any number of instances, and the workers. */
import {
  create,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Contact_Verdict as Verdict } from "../../gen/parley/session/v1/session_service_pb.js";
import { ManualClock } from "../../mesh/clock-manual.ts";
import { Code, RpcError, toRpcError } from "../../mesh/errors.ts";
import { Faults } from "../../mesh/faults.ts";
import { firstMessageIdAt } from "../../mesh/ids.ts";
import { silentLogger } from "../../mesh/logger.ts";
import type { CallContext } from "../../mesh/rpc.ts";
import type { Served } from "../../mesh/serve.ts";
import { type StreamFault, withFaults } from "../../mesh/streams-faults.ts";
import { MemoryStreamsServer } from "../../mesh/streams-memory.ts";
import { Blocks } from "./channel/blocks.ts";
import type { WriterDependencies } from "./channel/channel-writer.ts";
import { decode } from "./channel/log-entries.ts";
import { Usernames } from "./channel/usernames.ts";
import { messageCodes } from "./message-codes.ts";
import { createMessageService, startMessageWorkers } from "./message-service.ts";
import { MemorySearchIndex } from "./search/search-index-memory.ts";
import { type StoreFault, withStoreFaults } from "./store/message-store-faults.ts";
import { MemoryMessageStoreServer } from "./store/message-store-memory.ts";

/** Log retention of the workers. */
export const retentionMs = 7 * 24 * 3_600_000;

/** What all instances share. */
export class MessageFixture {
  readonly clock = new ManualClock();
  readonly server = new MemoryStreamsServer({ clock: this.clock });
  readonly streamFaults = new Faults<StreamFault>(() => 0.5);
  readonly storeFaults = new Faults<StoreFault>(() => 0.5);
  readonly streams = withFaults(this.server.connect(), {
    faults: this.streamFaults,
    clock: this.clock,
  });
  readonly store = withStoreFaults(
    new MemoryMessageStoreServer(this.clock).connect(),
    this.storeFaults,
  );
  readonly index = new MemorySearchIndex();
  /** What a writer works on. */
  readonly writing: WriterDependencies = {
    log: this.streams.log,
    store: this.store,
    clock: this.clock,
    blocks: new Blocks(() => this.blockedBy(), this.clock),
    usernames: new Usernames((names) => this.lookUpNames(names), this.clock),
    takeIds: (count, greaterThan) => this.takeIds(count, greaterThan),
  };
  /** Whom a user has blocked; change it with {@link block}. */
  readonly blockedIds = new Map<string, string[]>();
  /** Users who let nobody message or add them. */
  readonly unwilling = new Set<string>();
  isSessionAway = false;
  private lastId = 0n;
  private clientIds = 0;

  /** A further instance. Users whose names begin with "nobody" do not exist. */
  instance(): MessageInstance {
    const served = createMessageService({
      ...this.writing,
      streams: this.streams,
      lookUpNames: (names) => this.lookUpNames(names),
      index: this.index,
      checkContacts: async (userId, _kind, otherIds) => this.contactsOf(userId, otherIds),
      inviteSecret: "s3cret",
      logger: silentLogger,
    });
    return new MessageInstance(served, this.clock);
  }

  /** Runs persist, fan-out and the trimmer for two minutes: all that is there is done. */
  async work(logRetentionMs: number = retentionMs): Promise<void> {
    const workers = startMessageWorkers(
      { ...this.writing, streams: this.streams, index: this.index, logger: silentLogger },
      { logRetentionMs, trimIntervalMs: 60_000 },
    );
    for (let seconds = 0; seconds < 120; seconds++) await this.pass(1_000);
    await workers.stop();
  }

  /** Lets time pass, and what is under way go on. */
  async pass(ms: number): Promise<void> {
    await turn();
    this.clock.advance(ms);
    await turn();
  }

  /** A client's id that was made so long ago. */
  clientId(ageMs = 0): string {
    const time = (this.clock.nowMs() - ageMs).toString(16).padStart(12, "0");
    const number = (this.clientIds++).toString(16).padStart(12, "0");
    return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${number}`;
  }

  /** The entries of a channel's log. */
  async entriesOf(channelId: string) {
    const { entries } = await this.server.connect().log.read(channelId, { bytesMax: 1 << 30 });
    return entries.map(decode);
  }

  /** A user blocks others from now on, and no others; Message is told. */
  block(userId: string, ...otherIds: string[]): void {
    this.blockedIds.set(userId, otherIds);
    this.writing.blocks.cache.expire(userId);
  }

  private async blockedBy(): Promise<ReadonlyMap<string, string[]>> {
    if (this.isSessionAway) throw sessionAway();
    return this.blockedIds;
  }

  private contactsOf(userId: string, otherIds: readonly string[]) {
    if (this.isSessionAway) throw sessionAway();
    const existing = otherIds.filter((otherId) => !otherId.startsWith("nobody"));
    return existing.map((otherId) => {
      const isBlocked = this.blockedIds.get(otherId)?.includes(userId);
      const willing = this.unwilling.has(otherId) ? Verdict.NOT_IN_AUDIENCE : Verdict.ALLOWED;
      return { userId: otherId, verdict: isBlocked ? Verdict.BLOCKED : willing };
    });
  }

  /** Everybody whose name does not begin with "nobody" is called as the user id. */
  private async lookUpNames(names: readonly string[]) {
    return names
      .filter((name) => !name.startsWith("nobody"))
      .map((name) => ({ userId: name, username: name.toUpperCase() }));
  }

  private takeIds(count: number, greaterThan: bigint): bigint[] {
    for (const least of [greaterThan, firstMessageIdAt(this.clock.nowMs())]) {
      if (this.lastId < least) this.lastId = least;
    }
    return Array.from({ length: count }, () => ++this.lastId);
  }
}

type Handler = (request: object, context: CallContext) => Promise<Record<string, unknown>>;

/** One instance, called as its clients' edges call it. */
export class MessageInstance {
  private readonly served: Served;
  private readonly clock: ManualClock;

  constructor(served: Served, clock: ManualClock) {
    this.served = served;
    this.clock = clock;
  }

  /** Calls a method as a user. @throws RpcError */
  async call<M extends DescMethodUnary>(
    userId: string,
    method: M,
    init: MessageInitShape<M["input"]>,
  ): Promise<MessageShape<M["output"]>> {
    const context: CallContext = {
      identity: { userId, deviceId: "device" },
      deadlineMs: this.clock.nowMs() + 10_000,
      signal: new AbortController().signal,
      traceParent: "",
      clientAddress: "",
    };
    const handlers = this.served.handlers as unknown as Record<string, Handler>;
    const request = create<DescMethodUnary["input"]>(method.input, init);
    try {
      const answer = await handlers[method.localName]!(request, context);
      return create<DescMethodUnary["output"]>(method.output, answer) as MessageShape<M["output"]>;
    } catch (thrown) {
      throw toRpcError(thrown, messageCodes);
    }
  }
}

function sessionAway(): RpcError {
  return new RpcError(Code.UNAVAILABLE, "UNAVAILABLE", "Session is away");
}

/** Lets everything go on that waits for nothing but its turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
