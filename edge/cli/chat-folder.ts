/** Where `parley chat` keeps a device between two starts: its tokens and what it knows. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { type FolderLock, FolderLocked, lockFolder } from "../../mesh/folder-lock.ts";
import { FileClientStore } from "../sdk/client-store-file.ts";
import type { ClientStore, SignIn, TokenStore } from "../sdk/index.ts";

/** The folder of all devices at a server: `$XDG_STATE_HOME/parley/<server>`. */
export function serverFolder(
  url: string,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  const state = environment.XDG_STATE_HOME || join(homedir(), ".local", "state");
  return join(state, "parley", new URL(url).host.replaceAll(":", "_"));
}

/** Names that are signed in from here. */
export function knownNames(serverFolder: string): string[] {
  try {
    const names = readdirSync(serverFolder)
      .filter((name) => hasSignIn(join(serverFolder, name)))
      .map((name) => decodeURIComponent(name.replace(/~\d$/, "")));
    return [...new Set(names)];
  } catch {
    return [];
  }
}

/** Terminals that one person can have open at a server: each is a device. */
const devicesMax = 9;

/** One device's folder, ours alone while it is open, and readable by its owner only. */
export class DeviceFolder {
  private readonly folder: string;
  private readonly lock: FolderLock;
  private store: FileClientStore | undefined;

  private constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.lock = lockFolder(folder);
  }

  /** Opens the first of the person's folders that no other terminal has. @throws FolderLocked */
  static open(serverFolder: string, name: string): DeviceFolder {
    const first = join(serverFolder, encodeURIComponent(name.toLowerCase()));
    for (let device = 1; ; device++) {
      try {
        return new DeviceFolder(device === 1 ? first : `${first}~${device}`);
      } catch (error) {
        if (!(error instanceof FolderLocked) || device === devicesMax) throw error;
      }
    }
  }

  /** The sign-in. */
  get tokens(): TokenStore {
    const file = join(this.folder, tokensFile);
    return {
      load: async () => readJson<SignIn>(file),
      save: async (signIn) => {
        if (signIn) writeJson(file, signIn);
        else rmSync(file, { force: true });
      },
    };
  }

  /** What the device knows. */
  async openStore(): Promise<ClientStore> {
    this.store ??= await FileClientStore.open(join(this.folder, "state"));
    return this.store;
  }

  /** Lets others open it. */
  async close(): Promise<void> {
    await this.store?.close();
    this.lock.release();
  }
}

const tokensFile = "tokens.json";

function hasSignIn(folder: string): boolean {
  return readJson(join(folder, tokensFile)) !== undefined;
}

/** Undefined: there is none, or none that can be read. */
function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as T;
  } catch {
    return undefined;
  }
}

function writeJson(file: string, value: unknown): void {
  writeFileSync(`${file}.new`, JSON.stringify(value), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
