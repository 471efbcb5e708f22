/** The terminal client, as a process of its own over pipes, against a whole Parley. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openParley, type ParleyUnderTest } from "./parley-under-test.ts";

const root = join(import.meta.dirname, "..");
const stateFolder = mkdtempSync(join(tmpdir(), "parley-chat-"));
let server: ParleyUnderTest;

beforeAll(async () => {
  server = await openParley();
});

afterAll(async () => {
  await server?.stop();
  rmSync(stateFolder, { recursive: true, force: true });
});

/** Tells these people apart from those of other tests on the same cluster. */
const run = crypto.randomUUID().slice(0, 8);
const annName = `ann-${run}`;
const bobName = `bob-${run}`;
/** A sign-in is kept for its edge: everybody stays with one. */
const edges: Record<string, number> = { [bobName]: 1 };

/** One person's terminal. */
class Chat {
  output = "";
  private readonly child: ChildProcess;
  private readonly exited: Promise<unknown[]>;

  constructor(user: string, ...args: string[]) {
    const url = server.urls[(edges[user] ?? 0) % server.urls.length]!;
    const command = ["parley.ts", "chat", "--url", url, "--user", user, ...args];
    this.child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...command], {
      cwd: root,
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, XDG_STATE_HOME: stateFolder },
    });
    this.exited = once(this.child, "exit");
    this.child.stdout!.on("data", (chunk) => {
      this.output += chunk;
    });
  }

  type(line: string): void {
    this.child.stdin!.write(`${line}\n`);
  }

  /** Resolves when the text is on the screen. */
  async sees(text: string): Promise<void> {
    while (!this.output.includes(text)) await once(this.child.stdout!, "data");
  }

  async end(): Promise<unknown> {
    this.child.stdin!.end();
    return (await this.exited)[0];
  }
}

const password = ["--password", "correct horse"];

describe("parley chat", () => {
  it("[O5] two people sign up, talk, befriend each other and make a group", async () => {
    const ann = new Chat(annName, ...password, "--sign-up");
    const bob = new Chat(bobName, ...password, "--sign-up");
    await Promise.all([ann.sees(`You are ${annName}.`), bob.sees(`You are ${bobName}.`)]);
    ann.type(`/open ${bobName}`);
    ann.type("hello, bob");
    await ann.sees("you: hello, bob ✓");
    await bob.sees(`● ${annName}: 1 unread`);
    bob.type(`/open ${annName}`);
    await bob.sees(`${annName}: hello, bob`);
    bob.type("hello, ann \u001b[2J");
    await ann.sees(`${bobName}: hello, ann \ufffd[2J`);
    ann.type(`/friend ${bobName}`);
    await ann.sees(`You asked ${bobName}.`);
    bob.type(`/accept ${annName}`);
    await bob.sees(`You and ${annName} are friends.`);
    ann.type(`/group "book club" ${bobName}`);
    ann.type("welcome");
    await bob.sees("● book club: 1 unread");
    bob.type("/open book club");
    await bob.sees(`${annName}: welcome`);
    bob.type("/nonsense");
    await bob.sees("There is no /nonsense.");
    expect(await ann.end()).toBe(0);
    expect(await bob.end()).toBe(0);
  }, 60_000);

  it("[S2] [A1] a second start needs no password and tells what came meanwhile", async () => {
    const ann = new Chat(annName);
    ann.type(`/open ${bobName}`);
    ann.type("are you there?");
    await ann.sees("you: are you there? ✓");
    expect(await ann.end()).toBe(0);
    const bob = new Chat(bobName);
    await bob.sees(`● ${annName}: 1 unread`);
    expect(bob.output).not.toContain("hello, bob");
    expect(await bob.end()).toBe(0);
  }, 60_000);

  it("says in words why it can't sign in", async () => {
    const stranger = new Chat(`nobody-${run}`, ...password);
    await stranger.sees("Wrong name or password.");
    expect(await stranger.end()).toBe(1);
    const second = new Chat(annName, ...password, "--sign-up");
    await second.sees("That name is taken.");
    expect(await second.end()).toBe(1);
  }, 60_000);
});
