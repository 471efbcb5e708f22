import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it, vi } from "vitest";
import { clientStoreContract } from "./client-store.contract.ts";
import { FileClientStore, journalBytesMin } from "./client-store-file.ts";

const folder = mkdtempSync(join(tmpdir(), "parley-client-store-"));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const newPath = () => join(folder, `device-${files++}`);

clientStoreContract("file", async () => {
  const path = newPath();
  let store: FileClientStore;
  return {
    async open() {
      store = await FileClientStore.open(path);
      return store;
    },
    close: () => store.close(),
  };
});

/** What a file holds for who opens it next. */
async function read(path: string): Promise<Record<string, string>> {
  const store = await FileClientStore.open(path);
  const entries = Object.fromEntries(await store.readAll());
  await store.close();
  return entries;
}

describe("FileClientStore", () => {
  it("[K3] wherever a crash tears the file, a number of first writes is there and goes on", async () => {
    const path = newPath();
    const store = await FileClientStore.open(path);
    for (let n = 1; n <= 5; n++) {
      await store.write(
        new Map([
          [`key ${n}`, "ä".repeat(n)],
          ["last", `${n}`],
        ]),
      );
    }
    await store.close();
    const whole = readFileSync(path);
    const garbage = fc.uint8Array({ maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length), garbage, async (length, garbage) => {
        const torn = newPath();
        writeFileSync(torn, Buffer.concat([whole.subarray(0, length), garbage]));
        const entries = await read(torn);
        const last = Number(entries.last ?? 0);
        expect(Object.keys(entries)).toHaveLength(last === 0 ? 0 : last + 1);
        const lines = whole.subarray(0, length).filter((byte) => byte === 10).length;
        expect(last).toBeGreaterThanOrEqual(lines);
        const again = await FileClientStore.open(torn);
        await again.write(new Map([["after", "1"]]));
        await again.close();
        expect(await read(torn)).toEqual({ ...entries, after: "1" });
      }),
      { numRuns: 60 },
    );
  });

  it("[K3] stays small however often something changes, and holds on to what is there", async () => {
    const path = newPath();
    const store = await FileClientStore.open(path);
    await store.write(new Map([["first", "1"]]));
    const value = "x".repeat(10_000);
    let largest = 0;
    for (let n = 0; n < 100; n++) {
      await store.write(new Map([["same", `${n}${value}`]]));
      largest = Math.max(largest, statSync(path).size);
    }
    await store.close();
    expect(largest).toBeLessThan(journalBytesMin + 4 * value.length);
    expect(await read(path)).toEqual({ first: "1", same: `99${value}` });
  });

  it("[K3] a file that was about to take its place does no harm", async () => {
    const path = newPath();
    writeFileSync(`${path}.new`, "torn");
    const store = await FileClientStore.open(path);
    await store.write(new Map([["large", "x".repeat(journalBytesMin)]]));
    await store.write(new Map([["large", "x".repeat(journalBytesMin)]]));
    await store.write(new Map([["large", "y"]]));
    await store.close();
    expect(await read(path)).toEqual({ large: "y" });
  });

  it("[K3] only its owner can read it, and no folder is made for it", async () => {
    const path = newPath();
    await (await FileClientStore.open(path)).close();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await expect(FileClientStore.open(join(folder, "none", "device"))).rejects.toThrow("ENOENT");
  });

  it("[K3] a line that the system writes in parts is there as a whole", async () => {
    const path = newPath();
    const store = await FileClientStore.open(path);
    const file = await open(path);
    const handles: typeof file = Object.getPrototypeOf(file);
    await file.close();
    const { write } = handles;
    const inParts = vi.spyOn(handles, "write");
    inParts.mockImplementation(function (this: typeof file, ...args: unknown[]) {
      const [line, at, length, position] = args;
      return Reflect.apply(write, this, [line, at, Math.min(length as number, 7), position]);
    } as typeof write);
    await store.write(new Map([["a", "1"]]));
    await store.write(new Map([["b", "2"]]));
    inParts.mockRestore();
    await store.close();
    expect(await read(path)).toEqual({ a: "1", b: "2" });
  });

  it("[K3] a line without its end is not there", async () => {
    const path = newPath();
    const store = await FileClientStore.open(path);
    await store.write(new Map([["a", "1"]]));
    await store.close();
    const line = readFileSync(path, "utf8");
    appendFileSync(path, line.slice(0, -1));
    expect(await read(path)).toEqual({ a: "1" });
  });
});
