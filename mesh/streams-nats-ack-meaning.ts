/** What it means that JetStream has acknowledged an entry: it depends on the server's settings. */

/** What is known of when entries reach the disk. */
export interface AckMeaning {
  /** For people: "on 3 servers, on disk". */
  text: string;
  replicas: number;
  /** Whether every write is on disk before it is acknowledged; undefined: not known. */
  isSynced: boolean | undefined;
}

/** How long a monitor may take. */
const timeoutMs = 2_000;

/**
 * Asks the monitors of the servers (`/varz`).
 * @param monitorUrls of all servers: what is known of one says nothing about the others.
 */
export async function readAckMeaning(
  replicas: number,
  monitorUrls: readonly string[],
): Promise<AckMeaning> {
  const where = replicas === 1 ? "on 1 server" : `on ${replicas} servers`;
  try {
    const configs = await Promise.all(monitorUrls.map(readSync));
    if (configs.length === 0) throw new Error("no monitor is known");
    if (configs.every(({ sync_always: always }) => always === true)) {
      return { text: `${where}, on disk`, replicas, isSynced: true };
    }
    const seconds = Math.max(...configs.map((config) => (config.sync_interval ?? 0) / 1e9));
    const text = `${where}, on disk within ${seconds} s: the machine must not die until then`;
    return { text, replicas, isSynced: false };
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return {
      text: `${where}, on disk at a time that is not known: ${why}`,
      replicas,
      isSynced: undefined,
    };
  }
}

interface SyncConfig {
  sync_always?: boolean;
  /** Nanoseconds. */
  sync_interval?: number;
}

async function readSync(url: string): Promise<SyncConfig> {
  const answer = await fetch(`${url}/varz`, { signal: AbortSignal.timeout(timeoutMs) });
  const { jetstream } = (await answer.json()) as { jetstream?: { config?: SyncConfig } };
  if (!jetstream?.config) throw new Error(`${url}: JetStream is off`);
  return jetstream.config;
}
