/**
 * Programs in other languages, generated from the contracts alone, against a whole Parley: the
 * same two in each language.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePorts } from "../../deploy/servers/ports.ts";
import {
  createClient,
  type Message,
  MessageService,
  memoryTokenStore,
  ParleyClient,
  SessionService,
  signUp,
} from "../../edge/sdk/index.ts";
import { TcpProxy } from "../../mesh/tcp-proxy.ts";
import { type ParleyProcess, startParley } from "../parley-process.ts";
import { Program } from "./program.ts";
import { buildGo, buildMsMax, buildPython, type Consumers } from "./toolchains.ts";

const password = "correct horse";
const folder = mkdtempSync(join(tmpdir(), "parley-consumers-"));
let server: ParleyProcess;
let restart: () => Promise<void>;

beforeAll(async () => {
  const [port = 0, grpcPort] = await freePorts(2);
  const dataDir = join(folder, "data");
  const environment = { PARLEY_GRPC_PORT: String(grpcPort) };
  server = await startParley({ dataDir, port, environment });
  restart = async () => {
    await server.stop();
    server = await startParley({ dataDir, port, environment });
  };
});

afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A device of the SDK, in a channel with one other user. */
class Friend {
  readonly heard: Message[] = [];
  readonly client: ParleyClient;
  private readonly channelId: string;
  private readonly waiting: (() => void)[] = [];

  /** Signs up, and opens a channel with the other. */
  static async of(other: string, name: string): Promise<Friend> {
    const { url } = server;
    const tokens = memoryTokenStore(await signUp({ url, username: name, password }));
    const client = await ParleyClient.open({ url, tokens });
    await client.connect();
    const { users } = await createClient(SessionService, client.transport).listUsers({
      usernames: [other],
    });
    const { channel } = await createClient(MessageService, client.transport).createDirectChannel({
      userId: users[0]!.userId,
    });
    return new Friend(client, channel!.channelId);
  }

  private constructor(client: ParleyClient, channelId: string) {
    this.client = client;
    this.channelId = channelId;
    client.on("message", (message) => {
      if (message.body.case !== "text" || message.senderId === client.owner.userId) return;
      this.heard.push(message);
      for (const wake of this.waiting.splice(0)) wake();
    });
  }

  /** @returns the id of the message */
  async say(text: string): Promise<bigint> {
    return (await this.client.send(this.channelId, text).result).messageId;
  }

  /** Resolves with what the other has said, when there is so much of it. */
  async hears(count: number): Promise<{ text: string; to: bigint }[]> {
    while (this.heard.length < count) {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    return this.heard.map(({ body, replyToMessageId }) => ({
      text: String(body.value),
      to: replyToMessageId,
    }));
  }

  /** The ids of the messages that the other has answered, as the history has them. */
  async answeredInHistory(): Promise<bigint[]> {
    const { messages } = await this.client.history(this.channelId, { pageSize: 200 });
    const theirs = messages.filter(({ senderId }) => senderId !== this.client.owner.userId);
    return theirs.map(({ replyToMessageId }) => replyToMessageId).filter((id) => id !== 0n);
  }
}

const sorted = (ids: readonly bigint[]) => [...ids].sort((a, b) => (a < b ? -1 : 1));

describe.each([
  { language: "Go", name: "gopher", flag: "-", build: buildGo },
  { language: "Python", name: "python", flag: "--", build: buildPython },
])("in $language", ({ name, flag, build }) => {
  let consumers: Consumers;
  const running: Program[] = [];
  const options = (values: Record<string, string>) =>
    Object.entries(values).flatMap(([key, value]) => [`${flag}${key}`, value]);

  beforeAll(async () => {
    consumers = await build();
  }, buildMsMax);

  afterAll(async () => {
    for (const program of running) await program.kill();
  });

  function startBot(bot: string, grpc: string): Program {
    const state = join(folder, `${bot}.json`);
    const program = new Program(
      consumers.bot,
      ...options({ grpc, name: bot, password, state }),
      `${flag}sign-up`,
    );
    running.push(program);
    return program;
  }

  function startClient(user: string, url: string): Program {
    const program = new Program(
      consumers.wsclient,
      ...options({ url, name: user, password }),
      `${flag}sign-up`,
    );
    running.push(program);
    return program;
  }

  it("[K2] [K4] a bot signs up, follows its inbox over gRPC and answers who mentions it", async () => {
    const botName = `${name}-bot`;
    const bot = startBot(botName, server.grpcAddress);
    await bot.says("caught up");
    const ann = await Friend.of(botName, `${name}-ann`);
    await ann.say("nobody is mentioned");
    await ann.say(`@${botName}2 is somebody else`);
    const asked = await ann.say(`hello @${botName}, how are you?`);
    expect(await ann.hears(1)).toEqual([{ text: "That was 5 words.", to: asked }]);
    await ann.client.close();
    await bot.kill();
  }, 120_000);

  it("[K4] a bot whose stream is cut, and which crashes, loses nothing and doubles nothing", async () => {
    const botName = `${name}-tough`;
    const proxy = await TcpProxy.start(server.grpcAddress);
    let bot = startBot(botName, proxy.address);
    await bot.says("caught up");
    const ann = await Friend.of(botName, `${name}-eve`);
    const asked: bigint[] = [];
    const ask = async (count: number) => {
      for (let i = 0; i < count; i++) asked.push(await ann.say(`@${botName} ${asked.length}`));
    };
    await ask(3);
    await ann.hears(3);

    proxy.cut();
    await ask(10);
    await bot.says("broke off");
    proxy.restore();
    await ann.hears(13);

    // While it is answering: somewhere between an answer and the storing of its position.
    await ask(20);
    await ann.hears(18);
    await bot.kill();
    await ask(5);
    bot = startBot(botName, proxy.address);
    await ann.hears(38);

    expect((await ann.hears(38)).map(({ to }) => to)).toEqual(asked);
    expect(sorted(await ann.answeredInHistory())).toEqual(sorted(asked));
    await ann.client.close();
    await bot.kill();
    await proxy.stop();
  }, 120_000);

  it("[K2] [R4] a bot goes on where it was when the server comes back", async () => {
    const botName = `${name}-calm`;
    const bot = startBot(botName, server.grpcAddress);
    await bot.says("caught up");
    const ann = await Friend.of(botName, `${name}-zoe`);
    await ann.say(`@${botName} one`);
    await ann.hears(1);
    await restart();
    await bot.says("this instance shuts down");
    const asked = await ann.say(`@${botName} two`);
    expect((await ann.hears(2))[1]!.to).toBe(asked);
    await ann.client.close();
    await bot.kill();
  }, 150_000);

  it("[K1] [K2] [T1] an app's client talks with the SDK in Protobuf frames, and comes back", async () => {
    const proxy = await TcpProxy.start(new URL(server.url).host);
    const user = `${name}-app`;
    const app = startClient(user, `http://${proxy.address}`);
    await app.says("connected");
    const ben = await Friend.of(user, `${name}-ben`);
    await ben.say("hello, app 🌍");
    await app.says(`${name}-ben: hello, app 🌍`);
    app.type(`${name}-ben hello, ben 🌍`);
    expect((await ben.hears(1))[0]!.text).toBe("hello, ben 🌍");

    proxy.cut();
    await app.says("not connected");
    app.type(`${name}-ben said while away`);
    await ben.say("and you missed this");
    proxy.restore();
    await app.says(`${name}-ben: and you missed this`);
    expect((await ben.hears(2))[1]!.text).toBe("said while away");

    app.type(`${name}-ben ${"x".repeat(100_000)}`);
    await app.says("refused: TEXT_TOO_LONG");
    app.type("nobody-there hello");
    await app.says("there is no nobody-there");
    expect(app.output).toBe(`${name}-ben: hello, app 🌍\n${name}-ben: and you missed this\n`);
    await ben.client.close();
    await app.kill();
    await proxy.stop();
  }, 120_000);
});
