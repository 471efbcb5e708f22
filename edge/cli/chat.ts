/** `parley chat`: the terminal client. */
import { parseArgs } from "node:util";
import { FolderLocked } from "../../mesh/folder-lock.ts";
import { type ConnectionState, ParleyClient, type Presence, Status } from "../sdk/index.ts";
import { CommandError, Commands } from "./chat-commands.ts";
import { Conversations } from "./chat-conversations.ts";
import { serverFolder } from "./chat-folder.ts";
import { People } from "./chat-people.ts";
import { type SignInOptions, signInAt } from "./chat-sign-in.ts";
import { inWords, presenceText } from "./chat-words.ts";
import { Terminal } from "./terminal.ts";

const usage = `usage: parley chat [--url http://localhost:8080] [--user NAME] [--password PASSWORD] [--sign-up]
  Without --user and --password both are asked for. --sign-up makes a new account.`;

/** How long what was typed last has to arrive before the program ends. */
const lastSendsMs = { tty: 1_000, pipe: 10_000 };

/**
 * Runs the terminal client on standard input and output, until the person leaves.
 * @returns 0; 1: signed out, or could not sign in; 2: bad arguments
 */
export async function chat(args: string[]): Promise<number> {
  const options = parse(args);
  if (!options) {
    console.error(usage);
    return 2;
  }
  const { stdin: input, stdout: output, env } = process;
  const terminal = new Terminal({ input, output, colours: !env.NO_COLOR });
  try {
    return await talk(terminal, options, serverFolder(options.url, env));
  } catch (error) {
    terminal.tell(error instanceof FolderLocked ? error.message : inWords(error), "red");
    return 1;
  } finally {
    terminal.close();
  }
}

function parse(args: string[]): SignInOptions | undefined {
  try {
    const { values } = parseArgs({
      args,
      options: {
        url: { type: "string", default: "http://localhost:8080" },
        user: { type: "string" },
        password: { type: "string" },
        "sign-up": { type: "boolean", default: false },
      },
    });
    const { url, user, password, "sign-up": signUp } = values;
    return URL.canParse(url) ? { url, user, password, signUp } : undefined;
  } catch {
    return undefined;
  }
}

/** Signs in and talks. @throws ConnectError, FolderLocked */
async function talk(terminal: Terminal, options: SignInOptions, folder: string): Promise<number> {
  const device = await signInAt(folder, terminal, options);
  if (!device) return 1;
  try {
    const { url } = options;
    const store = await device.openStore();
    const client = await ParleyClient.open({ url, tokens: device.tokens, store });
    const people = new People(client);
    const conversations = new Conversations(client, people, terminal);
    const commands = new Commands({ client, people, conversations, terminal });
    const ignoreStates = client.on("state", stateTeller(terminal));
    client.on("presence", (presence) => void tellPresence(presence, people, terminal));
    terminal.tell(`Parley at ${url}. You are ${client.owner.username}. /help says what there is.`);
    const over = client.connect().then(() => commands.tellInvitations());
    over.catch(() => {});
    if (!terminal.isTty) await over;
    await readLines(terminal, conversations, commands);
    await lastSends(client, conversations, terminal);
    const { status } = client.state;
    ignoreStates();
    await client.close();
    return status === "signedOut" || status === "stopped" ? 1 : 0;
  } finally {
    await device.close();
  }
}

async function readLines(
  terminal: Terminal,
  conversations: Conversations,
  commands: Commands,
): Promise<void> {
  for (;;) {
    const line = await terminal.readLine();
    if (line === undefined || /^\/q(uit)?\s*$/.test(line)) return;
    if (line.trim() === "") continue;
    try {
      if (line.startsWith("/") && !line.startsWith("//")) {
        if (terminal.isTty) terminal.tell(line, "dim");
        await commands.run(line);
      } else if (conversations.channelId) {
        conversations.send(line.replace(/^\/\//, "/"));
      } else {
        throw new CommandError("Open a conversation first: /open NAME");
      }
    } catch (error) {
      const words = error instanceof CommandError ? error.message : inWords(error);
      terminal.tell(words, "red");
    }
  }
}

/** Waits for what was typed last: input from a pipe ends at once. */
async function lastSends(client: ParleyClient, conversations: Conversations, terminal: Terminal) {
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, terminal.isTty ? lastSendsMs.tty : lastSendsMs.pipe);
  });
  await Promise.race([conversations.settled(), enough]);
  clearTimeout(timer);
  const left = client.queuedSends.length;
  if (left > 0) terminal.tell(`${left} not sent yet: they will be at your next start.`);
}

/** Tells of what becomes of the connection, once for each loss of it. */
function stateTeller(terminal: Terminal): (state: ConnectionState) => void {
  let isLost = false;
  return (state) => {
    if (state.status === "online") {
      if (isLost) terminal.tell("— connected again —", "dim");
      isLost = false;
    } else if (state.status === "waiting") {
      if (!isLost) terminal.tell("— no connection to the server; trying again —", "dim");
      isLost = true;
    } else if (state.status === "signedOut" || state.status === "stopped") {
      const what =
        state.status === "signedOut" ? "You were signed out" : "The server has ended this";
      terminal.tell(`${what}: ${state.reason}`, "red");
      terminal.close();
    }
  };
}

async function tellPresence(presence: Presence, people: People, terminal: Terminal) {
  if (presence.status === Status.UNSPECIFIED) return;
  await people.meet([presence.userId]).catch(() => {});
  const name = people.nameOf(presence.userId);
  terminal.tell(`— ${name} is ${presenceText(presence)} —`, "dim");
}
