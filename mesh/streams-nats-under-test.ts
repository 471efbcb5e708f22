/** What tests of NATS streams share. */
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

/** Removes all JetStream streams of a prefix. */
export async function dropNatsStreams(urls: string, prefix: string): Promise<void> {
  const connection = await connect({ servers: urls.split(",") });
  const { streams } = await jetstreamManager(connection);
  for await (const name of streams.names()) {
    if (name.startsWith(prefix)) await streams.delete(name);
  }
  await connection.close();
}
