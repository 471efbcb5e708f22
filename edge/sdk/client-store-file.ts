/**
 * A {@link ClientStore} in one file, for Node: `import … from "@parley/sdk/node"`.
 *
 * The file is a journal: a line for each write, its checksum before it. A line that a crash left
 * torn counts as not written, with all that may follow it. Where more than half of the journal is
 * of the past it is written anew beside itself and put in its own place at once.
 */
import { type FileHandle, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import { applyEntries, type ClientStore } from "./client-store.ts";

/** Bytes of a journal that are let be, however little of them is of the present. */
export const journalBytesMin = 256 * 1024;
/** Entries to a line where a journal is written anew. */
const entriesPerLine = 256;

/**
 * Keeps a device in a file that only its owner can read, and that is at most twice as large as
 * what is in it, and {@link journalBytesMin}. What is written outlives the machine's power. One
 * program at a time may have it open.
 */
export class FileClientStore implements ClientStore {
  private readonly path: string;
  private readonly entries: Map<string, string>;
  private file: FileHandle;
  /** Where the next line goes: behind the last whole one. */
  private size: number;
  /** Bytes of the journal as it would be written anew. */
  private live: number;

  private constructor(path: string, file: FileHandle, journal: Journal) {
    this.path = path;
    this.file = file;
    this.entries = journal.entries;
    this.size = journal.size;
    this.live = liveBytes(journal.entries);
  }

  /** Opens the file, or makes it. Its folder exists. @throws the file system's errors */
  static async open(path: string): Promise<FileClientStore> {
    const journal = readJournal(await readFile(path).catch(onlyIfMissing));
    // Not for appending: a torn line is written over.
    const file = await open(path, "r+").catch((error) => {
      onlyIfMissing(error);
      return open(path, "wx+", 0o600);
    });
    const store = new FileClientStore(path, file, journal);
    await file.truncate(journal.size);
    await syncFolder(path);
    return store;
  }

  async readAll(): Promise<Iterable<readonly [string, string]>> {
    return [...this.entries];
  }

  async write(entries: ReadonlyMap<string, string | undefined>): Promise<void> {
    const line = lineOf([...entries]);
    for (let at = 0; at < line.length; ) {
      // A system may write a part only: on a full disk, for example.
      const { bytesWritten } = await this.file.write(line, at, line.length - at, this.size + at);
      at += bytesWritten;
    }
    await this.file.datasync();
    this.size += line.length;
    for (const [key, value] of entries) {
      this.live += entryBytes(key, value) - entryBytes(key, this.entries.get(key));
    }
    applyEntries(this.entries, entries);
    if (this.size > 2 * this.live + journalBytesMin) await this.compact();
  }

  /** Lets go of the file. What is written is there already. */
  close(): Promise<void> {
    return this.file.close();
  }

  private async compact(): Promise<void> {
    const all = [...this.entries];
    const lines: Buffer[] = [];
    for (let from = 0; from < all.length; from += entriesPerLine) {
      lines.push(lineOf(all.slice(from, from + entriesPerLine)));
    }
    const journal = Buffer.concat(lines);
    const anew = `${this.path}.new`;
    const file = await open(anew, "w+", 0o600);
    try {
      await file.writeFile(journal);
      await file.datasync();
      await rename(anew, this.path);
    } catch (error) {
      await file.close();
      throw error;
    }
    await this.file.close();
    this.file = file;
    this.size = journal.length;
    await syncFolder(this.path);
  }
}

type Entry = readonly [key: string, value: string | undefined];

interface Journal {
  entries: Map<string, string>;
  /** Bytes of its whole lines. */
  size: number;
}

const checksumLength = 8;

/** `<crc32 of the rest> [[key, value], [removed key], …]` and a line feed. */
function lineOf(entries: readonly Entry[]): Buffer {
  const json = JSON.stringify(
    entries.map(([key, value]) => (value === undefined ? [key] : [key, value])),
  );
  return Buffer.from(`${checksum(Buffer.from(json))} ${json}\n`);
}

function readJournal(bytes: Buffer): Journal {
  const entries = new Map<string, string>();
  let size = 0;
  for (;;) {
    const end = bytes.indexOf("\n", size);
    const json = bytes.subarray(size + checksumLength + 1, Math.max(end, 0));
    const isWhole = bytes.toString("latin1", size, size + checksumLength) === checksum(json);
    if (end < 0 || !isWhole) return { entries, size };
    applyEntries(entries, JSON.parse(json.toString()) as Entry[]);
    size = end + 1;
  }
}

function checksum(bytes: Uint8Array): string {
  return crc32(bytes).toString(16).padStart(checksumLength, "0");
}

function liveBytes(entries: ReadonlyMap<string, string>): number {
  let bytes = 0;
  for (const [key, value] of entries) bytes += entryBytes(key, value);
  return bytes;
}

/** What an entry takes, nearly: keys and values are mostly one byte to a character. */
function entryBytes(key: string, value: string | undefined): number {
  return value === undefined ? 0 : key.length + value.length + '["",""],'.length;
}

function onlyIfMissing(error: NodeJS.ErrnoException): Buffer {
  if (error.code !== "ENOENT") throw error;
  return Buffer.alloc(0);
}

/** Makes the file's name outlive the machine's power as well. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), "r");
  await folder.sync();
  await folder.close();
}
