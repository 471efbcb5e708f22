/**
 * Appends to the streams in the folder that it is given until it is killed, and prints one line
 * for each acknowledged entry and each live message: stream, subject, sequence, text. It is run
 * by streams-lmdb-kill.test.ts.
 */
import { writeSync } from "node:fs";
import { systemClock } from "./clock.ts";
import type { Stream } from "./streams.ts";
import { openLmdbStreams } from "./streams-lmdb.ts";

const [path, round] = process.argv.slice(2);
const streams = await openLmdbStreams({ path: path!, clock: systemClock });
const subjects = ["a", "b", "c"];

function print(stream: string, subject: string, sequence: number, text: string): void {
  // Synchronous: what was written before the kill arrives.
  writeSync(1, `${stream} ${subject} ${sequence} ${text}\n`);
}

async function appendForEver(stream: Stream, writer: number): Promise<void> {
  for (let i = 0; ; i++) {
    const subject = subjects[(writer + i) % subjects.length]!;
    const text = `${round}-${writer}-${i}`;
    print(stream.name, subject, await stream.append(subject, Buffer.from(text)), text);
  }
}

for (const subject of subjects) {
  await streams.subscribeInbox(subject, ({ sequence, data }) =>
    print("inbox", subject, sequence, Buffer.from(data).toString()),
  );
}
streams.log.work({ name: "persist", batchMax: 100, onError() {} }, async () => {});
for (let writer = 0; writer < 10; writer++) {
  void appendForEver(streams.log, writer);
  void appendForEver(streams.inbox, writer);
}
