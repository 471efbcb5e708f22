import { errorReason, logIn, type SignIn, signUp } from "../sdk/index.ts";
import { DeviceFolder, knownNames } from "./chat-folder.ts";
import { inWords } from "./chat-words.ts";
import type { Terminal } from "./terminal.ts";

/** What the command line says about signing in. */
export interface SignInOptions {
  url: string;
  /** Asked for where it is missing. */
  user: string | undefined;
  /** Asked for where it is missing and needed. */
  password: string | undefined;
  /** Makes the account; else that is asked where there is none. */
  signUp: boolean;
}

const triesMax = 3;
const deviceName = "terminal";

/**
 * Opens the folder of the device that is signed in, after signing it in if it isn't.
 * @returns undefined when the person gave up
 * @throws ConnectError, FolderLocked
 */
export async function signInAt(
  serverFolder: string,
  terminal: Terminal,
  options: SignInOptions,
): Promise<DeviceFolder | undefined> {
  const name = options.user ?? (await askName(serverFolder, terminal));
  if (!name) return undefined;
  const folder = DeviceFolder.open(serverFolder, name);
  try {
    if (!options.signUp && (await folder.tokens.load())) return folder;
    const signIn = await newSignIn(name, terminal, options);
    if (signIn) {
      await folder.tokens.save(signIn);
      return folder;
    }
  } catch (error) {
    await folder.close();
    throw error;
  }
  await folder.close();
  return undefined;
}

async function askName(serverFolder: string, terminal: Terminal): Promise<string | undefined> {
  const [known] = knownNames(serverFolder);
  const answer = await terminal.ask(known ? `Your name [${known}]: ` : "Your name: ");
  return answer?.trim() || (answer === undefined ? undefined : known);
}

async function newSignIn(
  name: string,
  terminal: Terminal,
  { url, ...options }: SignInOptions,
): Promise<SignIn | undefined> {
  for (let tries = 0; tries < triesMax; tries++) {
    const password = options.password ?? (await terminal.ask("Password: ", { secret: true }));
    if (password === undefined) return undefined;
    if (options.signUp) return signUp({ url, username: name, password, deviceName });
    try {
      return await logIn({ url, login: name, password, deviceName });
    } catch (error) {
      if (errorReason(error) !== "CREDENTIALS_WRONG" || options.password) throw error;
      terminal.tell(inWords(error));
    }
    const answer = await terminal.ask(`Make a new account for "${name}" with it? [y/N] `);
    if (answer === undefined) return undefined;
    if (!/^y/i.test(answer)) continue;
    try {
      return await signUp({ url, username: name, password, deviceName });
    } catch (error) {
      terminal.tell(inWords(error));
    }
  }
  return undefined;
}
