import {
  type MessageStore,
  type StoreBatch,
  StoreUnavailable,
} from "../../services/message/store/message-store.ts";
import { withStoreFaults } from "../../services/message/store/message-store-faults.ts";
import { MemoryMessageStoreServer } from "../../services/message/store/message-store-memory.ts";
import type { RunFaults } from "./faults.ts";
import { Hops } from "./hops.ts";
import type { Random } from "./random.ts";
import { SimulatedProcess } from "./simulated-process.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** How long after its failure a write may still be made. */
const lateMsMax = 20_000;

/** The store's server, with what is between it and the processes. */
export class StoreServer {
  /** The store itself, without anything between. */
  readonly rows: MessageStore;
  /** Until then it can't be reached. */
  awayUntilMs = 0;
  private readonly time: VirtualTime;
  private readonly random: Random;
  private readonly faults: RunFaults;

  constructor(time: VirtualTime, random: Random, faults: RunFaults) {
    this.time = time;
    this.random = random;
    this.faults = faults;
    this.rows = new MemoryMessageStoreServer(new SimulatedProcess("store", time).clock).connect();
  }

  /** The store as one process has it. */
  connect(process: SimulatedProcess): MessageStore {
    const { faults } = this;
    const store = withStoreFaults(this.rows, faults.store);
    const hops = new Hops(process, this.time, faults);
    const ask = <T>(serve: () => Promise<T>) =>
      hops.ask(async () => {
        if (this.awayUntilMs > this.time.nowMs) throw away();
        return serve();
      }, away);
    return {
      apply: (batch) => ask(() => this.apply(batch, store)),
      listMessages: (...args) => ask(() => store.listMessages(...args)),
      listRevisions: (...args) => ask(() => store.listRevisions(...args)),
      findSend: (...args) => ask(() => store.findSend(...args)),
      getChannel: (...args) => ask(() => store.getChannel(...args)),
      getAccess: (...args) => ask(() => store.getAccess(...args)),
      listMembers: (...args) => ask(() => store.listMembers(...args)),
      listStays: (...args) => ask(() => store.listStays(...args)),
      listChannelIds: (...args) => ask(() => store.listChannelIds(...args)),
      listAllChannels: (...args) => ask(() => store.listAllChannels(...args)),
      findMessages: (...args) => ask(() => store.findMessages(...args)),
      getDeviceCursor: (...args) => ask(() => store.getDeviceCursor(...args)),
      putDeviceCursor: (...args) => ask(() => store.putDeviceCursor(...args)),
      getMemberCursors: (...args) => ask(() => store.getMemberCursors(...args)),
      listMemberCursors: (...args) => ask(() => store.listMemberCursors(...args)),
      putMemberCursors: (...args) => ask(() => store.putMemberCursors(...args)),
      close: async () => {},
    };
  }

  private async apply(batch: StoreBatch, store: MessageStore): Promise<void> {
    if (this.faults.calls.strikes("writeLate")) {
      const lateMs = this.random.unit() * lateMsMax;
      this.time.schedule(lateMs, () => void this.rows.apply(batch));
    }
    await store.apply(batch);
  }
}

function away(): StoreUnavailable {
  return new StoreUnavailable("away");
}
