/** Accounts and channels of the load, made over HTTP as any client would. */
import type { LoadUser } from "./load-client.ts";

/** Calls under way at once: enough to keep two cores busy. */
const callsMax = 16;

/** Does `work` for 0 … count-1, several at once, and gives the results in order. */
export async function times<T>(
  count: number,
  work: (index: number) => Promise<T>,
  atOnceMax: number = callsMax,
): Promise<T[]> {
  const results = new Array<T>(count);
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const index = next++;
      results[index] = await work(index);
    }
  };
  await Promise.all(Array.from({ length: atOnceMax }, worker));
  return results;
}

/** Signs users up. */
export function signUp(urls: readonly string[], count: number): Promise<LoadUser[]> {
  return times(count, async (i) => {
    const request = { username: `load${i}`, password: "a password", displayName: `Load ${i}` };
    const { user, tokens } = await call(urls[0]!, "session.v1.SessionService/SignUp", request);
    return { userId: user.userId, accessToken: tokens.accessToken };
  });
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

/** A unary call by the Connect protocol. @throws where it is refused. */
// biome-ignore lint/suspicious/noExplicitAny: JSON of several methods, each read in one place.
async function call(url: string, method: string, request: object, user?: LoadUser): Promise<any> {
  const response = await fetch(`${url}/parley.${method}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(user && { authorization: `Bearer ${user.accessToken}` }),
    },
    body: JSON.stringify(request),
  });
  if (!response.ok) throw new Error(`${method}: ${response.status} ${await response.text()}`);
  return response.json();
}

/** A UUIDv7. */
function clientMessageId(): string {
  const time = Date.now().toString(16).padStart(12, "0");
  const random = crypto.randomUUID();
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(15, 18)}${random.slice(18)}`;
}
