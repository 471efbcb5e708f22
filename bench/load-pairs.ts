import { type Account, LoadChannel, type LoadSender } from "./load-channel.ts";
import { LoadClient, type LoadUser } from "./load-client.ts";
import { createDirectChannel, signUp, times } from "./load-users.ts";

/** Signs up two users for each channel, connects them and gives both sides of every pair. */
export async function connectPairs(
  urls: readonly string[],
  pairs: number,
  account: Account,
): Promise<LoadSender[]> {
  const users = await signUp(urls, pairs * 2);
  const channels = await times(pairs, async (i) => {
    const [one, other] = [users[i * 2]!, users[i * 2 + 1]!];
    return new LoadChannel(
      await createDirectChannel(urls, one, other),
      await connectAll(urls, [one, other]),
      account,
      2,
    );
  });
  return channels.flatMap(({ senders }) => senders);
}

/** Connects a device of each user, to the edges in turn. */
export function connectAll(
  urls: readonly string[],
  users: readonly LoadUser[],
): Promise<LoadClient[]> {
  return times(users.length, async (i) => {
    const client = new LoadClient(users[i]!);
    await client.connect(urls[i % urls.length]!);
    return client;
  });
}
