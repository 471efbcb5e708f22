/** Accounts and channels of the load, made over HTTP as any client would. */
import { setTimeout as sleep } from "node:timers/promises";
import { concurrently } from "../mesh/concurrently.ts";
import type { LoadUser } from "./load-client.ts";

/** Calls under way at once: enough to keep two cores busy. */
const callsMax = 16;
const password = "a password";
const unavailable = 503;
const attemptsMax = 20;

/** Does `work` for 0 … count-1, several at once, and gives the results in order. */
export function times<T>(
  count: number,
  work: (index: number) => Promise<T>,
  atOnceMax: number = callsMax,
): Promise<T[]> {
  const indices = Array.from({ length: count }, (_, index) => index);
  return concurrently(indices, atOnceMax, work);
}

/** Signs users up. */
export function signUp(urls: readonly string[], count: number): Promise<LoadUser[]> {
  return times(count, async (i) => {
    const request = { username: `load${i}`, password, displayName: `Load ${i}` };
    const { user, tokens } = await call(urls[0]!, "session.v1.SessionService/SignUp", request);
    return { userId: user.userId, accessToken: tokens.accessToken };
  });
}

/** Signs in one more device of somebody who has signed up here. */
export async function logIn(urls: readonly string[], username: string): Promise<LoadUser> {
  const request = { login: username, password, deviceName: "load" };
  const { user, tokens } = await call(urls[0]!, "session.v1.SessionService/LogIn", request);
  return { userId: user.userId, accessToken: tokens.accessToken };
}

/** Makes the channel of two users and gives its id. */
export async function createDirectChannel(urls: readonly string[], one: LoadUser, other: LoadUser) {
  const method = "message.v1.MessageService/CreateDirectChannel";
  const { channel } = await call(urls[0]!, method, { userId: other.userId }, one);
  return channel.channelId as string;
}

/** Makes a group of all of these users and gives its id. */
export async function createGroup(
  urls: readonly string[],
  [owner, ...others]: readonly LoadUser[],
) {
  const method = "message.v1.MessageService/CreateGroup";
  const userIds = others.map(({ userId }) => userId);
  const request = { clientMessageId: clientMessageId(), name: "load", userIds };
  const { channel } = await call(urls[0]!, method, request, owner);
  return channel.channelId as string;
}

/** Adds at most 99 users to a group. */
export async function addMembers(
  urls: readonly string[],
  channelId: string,
  owner: LoadUser,
  userIds: readonly string[],
) {
  const request = { channelId, clientMessageId: clientMessageId(), userIds };
  await call(urls[0]!, "message.v1.MessageService/AddMembers", request, owner);
}

/** The `channel_sequence` of a channel's newest item. */
export async function lastSequence(urls: readonly string[], channelId: string, member: LoadUser) {
  const method = "message.v1.MessageService/GetChannel";
  const { channel } = await call(urls[0]!, method, { channelId }, member);
  return channel.lastChannelSequence as number;
}

/** Whether a user's list of channels holds any, which follows the log after a while. */
export async function hasChannels(urls: readonly string[], user: LoadUser): Promise<boolean> {
  const method = "message.v1.MessageService/ListChannels";
  return (await call(urls[0]!, method, {}, user)).channels?.length > 0;
}

/**
 * A unary call by the Connect protocol. Where the server can't just now it is told again: setting
 * up is not what is measured. @throws where it is refused.
 */
// biome-ignore lint/suspicious/noExplicitAny: JSON of several methods, each read in one place.
async function call(url: string, method: string, request: object, user?: LoadUser): Promise<any> {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(`${url}/parley.${method}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(user && { authorization: `Bearer ${user.accessToken}` }),
      },
      body: JSON.stringify(request),
    });
    if (response.ok) return response.json();
    const why = `${method}: ${response.status} ${await response.text()}`;
    if (response.status !== unavailable || attempt === attemptsMax) throw new Error(why);
    await sleep(500);
  }
}

/** Has pushes for a user's device go to this token of Apple's. */
export async function registerPushToken(
  urls: readonly string[],
  user: LoadUser,
  deviceToken: string,
) {
  const apns = { deviceToken, environment: "APNS_ENVIRONMENT_PRODUCTION" };
  await call(urls[0]!, "session.v1.SessionService/RegisterPushToken", { token: { apns } }, user);
}

/** Sends a text without a connection. @returns the message's id */
export async function sendText(
  urls: readonly string[],
  user: LoadUser,
  channelId: string,
  text: string,
): Promise<string> {
  const request = { channelId, clientMessageId: clientMessageId(), text };
  return (await call(urls[0]!, "message.v1.MessageService/SendMessage", request, user)).messageId;
}

/** A UUIDv7. */
function clientMessageId(): string {
  const time = Date.now().toString(16).padStart(12, "0");
  const random = crypto.randomUUID();
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(15, 18)}${random.slice(18)}`;
}
