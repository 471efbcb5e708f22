import type { Faults } from "../../../mesh/faults.ts";
import { type MessageStore, type StoreBatch, StoreUnavailable } from "./message-store.ts";

/** What can go wrong with a store; each fails with StoreUnavailable. */
export type StoreFault =
  /** A write is made and fails all the same. */
  | "writeUnknown"
  /** A write is made in part, and fails. */
  | "writePartial"
  /** A write is not made. */
  | "writeLost"
  /** A read fails. */
  | "readFails";

/** Wraps a store, so that it does everything that the port's comment leaves open. */
export function withStoreFaults(store: MessageStore, faults: Faults<StoreFault>): MessageStore {
  const write = async (action: () => Promise<void>) => {
    if (faults.strikes("writeLost")) throw unavailable();
    await action();
    if (faults.strikes("writeUnknown")) throw unavailable();
  };
  const read = async <T>(action: () => Promise<T>) => {
    if (faults.strikes("readFails")) throw unavailable();
    return action();
  };
  return {
    apply: (batch) =>
      write(async () => {
        if (!faults.strikes("writePartial")) return store.apply(batch);
        await store.apply(partOf(batch, faults));
        throw unavailable();
      }),
    putDeviceCursor: (row) => write(() => store.putDeviceCursor(row)),
    putMemberCursors: (rows) => write(() => store.putMemberCursors(rows)),
    listMessages: (...args) => read(() => store.listMessages(...args)),
    listRevisions: (...args) => read(() => store.listRevisions(...args)),
    findSend: (...args) => read(() => store.findSend(...args)),
    getChannel: (...args) => read(() => store.getChannel(...args)),
    getAccess: (...args) => read(() => store.getAccess(...args)),
    listMembers: (...args) => read(() => store.listMembers(...args)),
    listStays: (...args) => read(() => store.listStays(...args)),
    listChannelIds: (...args) => read(() => store.listChannelIds(...args)),
    listAllChannels: (...args) => read(() => store.listAllChannels(...args)),
    findMessages: (...args) => write(() => store.findMessages(...args)),
    getDeviceCursor: (...args) => read(() => store.getDeviceCursor(...args)),
    getMemberCursors: (...args) => read(() => store.getMemberCursors(...args)),
    listMemberCursors: (...args) => read(() => store.listMemberCursors(...args)),
    close: () => store.close(),
  };
}

/** Any of the rows: a store makes them in no particular order, but those of channels last. */
function partOf(batch: StoreBatch, faults: Faults<StoreFault>): StoreBatch {
  let isAll = true;
  const some = <Row>(rows: readonly Row[] = []) => {
    const made = rows.filter(() => faults.upTo(1) === 0);
    isAll &&= made.length === rows.length;
    return made;
  };
  const messages = some(batch.messages);
  const revisions = some(batch.revisions);
  const memberships = some(batch.memberships);
  const access = some(batch.access);
  const cursors = some(batch.cursors);
  return {
    ...{ messages, revisions, memberships, access, cursors },
    channels: isAll ? some(batch.channels) : [],
  };
}

function unavailable(): StoreUnavailable {
  return new StoreUnavailable("a fault was asked for");
}
