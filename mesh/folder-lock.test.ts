import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FolderLocked, lockFolder } from "./folder-lock.ts";

/** Takes the folder's lock, says so or why not, and stays. */
const holder = `
  const { lockFolder } = await import(${JSON.stringify(new URL("./folder-lock.ts", import.meta.url))});
  try {
    lockFolder(process.argv[1]);
    console.log("locked");
    setInterval(() => {}, 1000);
  } catch (error) {
    console.log(error.message);
  }
`;

describe("lockFolder", () => {
  let folder: string;
  let child: ChildProcess | undefined;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "parley-lock-"));
  });
  afterEach(async () => {
    await killChild();
    rmSync(folder, { recursive: true });
  });

  /** What a process that tries to take the lock prints. */
  async function lockInChild(): Promise<string> {
    const args = ["--input-type=module", "-e", holder, folder];
    const started = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    child = started;
    const [line] = await once(started.stdout, "data");
    return String(line).trim();
  }

  async function killChild(): Promise<void> {
    if (child && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    }
    child = undefined;
  }

  it("[O4] a folder that another process has is refused with its path and the holder's id", async () => {
    expect(await lockInChild()).toBe("locked");
    expect(() => lockFolder(folder)).toThrow(FolderLocked);
    expect(() => lockFolder(folder)).toThrow(`${folder} is in use by process ${child?.pid}`);
  });

  it("[O4] a folder that this process has is refused to others and to itself", async () => {
    const lock = lockFolder(folder);
    expect(() => lockFolder(folder)).toThrow(FolderLocked);
    expect(await lockInChild()).toBe(`${folder} is in use by process ${process.pid}`);
    lock.release();
  });

  it("[O4] the lock goes with its holder, even one that was killed", async () => {
    await lockInChild();
    await killChild();
    lockFolder(folder).release();
  });

  it("[O4] a released folder can be taken again, and a second release takes it from nobody", () => {
    const first = lockFolder(folder);
    first.release();
    const second = lockFolder(folder);
    first.release();
    expect(() => lockFolder(folder)).toThrow(FolderLocked);
    second.release();
  });
});
