/**
 * An exclusive lock on a data folder, so that two processes never write the same files. It is a
 * lock of the operating system, taken through SQLite on an empty file: when the holder dies,
 * however, the system frees it, and no stale lock file keeps anybody out.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** A folder that is ours. */
export interface FolderLock {
  /** Gives the folder free. */
  release(): void;
}

/** Another process, or another part of this one, has the folder. */
export class FolderLocked extends Error {
  override readonly name = "FolderLocked";
}

/**
 * Takes the lock of a folder at once or not at all; makes the folder where it is missing. Holds
 * until released or until the process ends, kill -9 included. Works between the processes and
 * threads of one machine on local file systems; network file systems may promise less.
 *
 * @throws FolderLocked, which names the folder and the holder's process id.
 */
export function lockFolder(folder: string): FolderLock {
  mkdirSync(folder, { recursive: true });
  // The holder's id has a file of its own: opening and closing the locked file in this process
  // would drop the lock (POSIX), and nobody else can read it.
  const holderFile = join(folder, "lock-holder");
  const database = new DatabaseSync(join(folder, "lock"));
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (!isBusy(error)) throw error;
    throw new FolderLocked(`${folder} is in use by process ${holderOf(holderFile)}`);
  }
  writeFileSync(holderFile, `${process.pid}\n`);
  held.add(database);
  return {
    release() {
      if (held.delete(database)) database.close();
    },
  };
}

/** Keeps the handles from the garbage collector, which would close them and drop the locks. */
const held = new Set<DatabaseSync>();

const sqliteBusy = 5;

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === sqliteBusy;
}

function holderOf(file: string): string {
  try {
    return readFileSync(file, "utf8").trim() || "(starting)";
  } catch {
    return "(starting)";
  }
}
