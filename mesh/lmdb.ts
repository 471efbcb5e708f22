/**
 * Opens LMDB environments the one way that all embedded adapters use them: binary keys and
 * values, and a commit that is on disk before anybody can see it.
 */
import { type Database, open, type RootDatabase } from "lmdb";

/** An environment: a folder with one file, in which there are named databases. */
export type LmdbEnvironment = RootDatabase<Buffer, Buffer>;

/** A named database of an environment. */
export type LmdbDatabase = Database<Buffer, Buffer>;

const binary = { encoding: "binary", keyEncoding: "binary" } as const;

/**
 * Opens an environment, or makes one. One process at a time may have it open, once: the adapters
 * keep state beside it. The caller holds the folder's lock (folder-lock.ts).
 *
 * `overlappingSync`, the library's default, shows a transaction to readers before it is on disk;
 * it then needs `safeRestore`, which makes the next opening fall back to what was flushed, and
 * care that nobody acts on what may be lost. Without it LMDB works in its classic way: pages,
 * fdatasync, then the meta page through an O_DSYNC handle, then readers see it. A kill or a loss
 * of power at any moment leaves the last commit. Measured (a group of appends in each commit,
 * one commit at a time): the same throughput and latency either way.
 *
 * Without `eventTurnBatching` a commit that fails, say on a full disk, rejects the promise of its
 * `batch` and nothing else; with it, also a promise that nobody can handle.
 */
export function openLmdb(path: string): LmdbEnvironment {
  return open<Buffer, Buffer>({
    ...binary,
    path,
    noSubdir: false,
    maxDbs: 16,
    overlappingSync: false,
    eventTurnBatching: false,
  });
}

/** Opens a database of an environment, or makes one. */
export function openDatabase(environment: LmdbEnvironment, name: string): LmdbDatabase {
  return environment.openDB<Buffer, Buffer>({ ...binary, name });
}

/** Bytes of an integer in a key or a value. 2^48 entries last 90 years at 100,000/s. */
export const integerBytes = 6;

/** Writes an integer below 2^48 so that keys sort as numbers do. */
export function integerKey(value: number): Buffer {
  const key = Buffer.allocUnsafe(integerBytes);
  key.writeUIntBE(value, 0, integerBytes);
  return key;
}

/** Reads what {@link integerKey} wrote. */
export function readInteger(bytes: Buffer, offset = 0): number {
  return bytes.readUIntBE(offset, integerBytes);
}
