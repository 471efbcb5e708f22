/** The SDK as others get it: packed, installed in an empty folder, used from plain JavaScript. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ParleyProcess, startParley } from "./parley-process.ts";

const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "parley-sdk-"));
let server: ParleyProcess;

function run(command: string, args: string[], cwd = folder): string {
  return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

beforeAll(async () => {
  server = await startParley();
  run("npm", ["run", "build:sdk"], root);
  run("npm", ["pack", "--silent", "--pack-destination", folder, join(root, "dist/sdk")]);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module", private: true }));
  run("npm", ["install", "--silent", "--no-audit", "--no-fund", "./parley-sdk-0.1.0.tgz"]);
}, 180_000);

afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const program = `
import { createClient, memoryTokenStore, MessageService, ParleyClient, signUp } from "@parley/sdk";
import { FileClientStore } from "@parley/sdk/node";

const url = process.argv[2];
const heard = [];
async function open(username) {
  const tokens = memoryTokenStore(await signUp({ url, username, password: "correct horse" }));
  const store = await FileClientStore.open(username + ".state");
  const client = await ParleyClient.open({ url, tokens, store });
  client.on("message", ({ senderId, body }) => {
    if (body.case === "text") heard.push([username, senderId === client.owner.userId, body.value]);
  });
  await client.connect();
  return client;
}
const ann = await open("ann");
const bob = await open("bob");
const { channel } = await createClient(MessageService, ann.transport).createDirectChannel({
  userId: bob.owner.userId,
});
const { channelId } = channel;
await ann.send(channelId, "hello, bob").result;
await bob.send(channelId, "hello, ann").result;
while (heard.length < 4) await new Promise((resolve) => setTimeout(resolve, 10));
const { messages } = await bob.history(channelId);
const [there] = await ann.presence([bob.owner.userId]);
await Promise.all([ann.close(), bob.close()]);
console.log(JSON.stringify({ heard: heard.sort(), history: messages.length, status: there.status }));
`;

const typedProgram = `
import { type Message, ParleyClient, type TokenStore } from "@parley/sdk";

export async function texts(url: string, tokens: TokenStore): Promise<string[]> {
  const client = await ParleyClient.open({ url, tokens });
  const heard: string[] = [];
  client.on("message", (message: Message) => {
    if (message.body.case === "text") heard.push(message.body.value);
  });
  client.on("state", (state) => {
    // @ts-expect-error there is no such status
    if (state.status === "asleep") return;
  });
  const id: bigint = (await client.send("g-1", "hello").result).messageId;
  return [...heard, String(id)];
}
`;

describe("the packed SDK", () => {
  it("[K3] chats from a folder that has nothing else", () => {
    writeFileSync(join(folder, "chat.js"), program);
    const said = JSON.parse(run(process.execPath, ["chat.js", server.url]));
    expect(said).toEqual({
      heard: [
        ["ann", false, "hello, ann"],
        ["ann", true, "hello, bob"],
        ["bob", false, "hello, bob"],
        ["bob", true, "hello, ann"],
      ],
      history: 3,
      status: 1,
    });
  }, 60_000);

  it("[K3] comes with types that check, without Node's", () => {
    writeFileSync(join(folder, "app.ts"), typedProgram);
    const compilerOptions = {
      strict: true,
      noEmit: true,
      module: "nodenext",
      lib: ["esnext", "dom", "dom.iterable"],
      types: [],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions }));
    run(join(root, "node_modules/.bin/tsc"), ["-p", "."]);
  }, 60_000);

  it("depends on two packages", () => {
    const installed = run("npm", ["ls", "--all", "--parseable"])
      .trim()
      .split("\n")
      .map((path) => path.split("node_modules/").at(-1));
    expect(new Set(installed.slice(1))).toEqual(
      new Set(["@parley/sdk", "@bufbuild/protobuf", "@connectrpc/connect"]),
    );
  });
});
