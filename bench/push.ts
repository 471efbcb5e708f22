/** Pushes through Apple's service, which fails now and then. */
import { pushToOffline } from "./push-offline.ts";
import type { ScenarioOptions, ScenarioResult } from "./scenario.ts";

/** The stand-in of Apple's service runs in the same process: CPU is both sides'. */
export async function push({ quick }: ScenarioOptions): Promise<ScenarioResult> {
  const sizes = quick ? { members: 100, messages: 1_000 } : { members: 1_000, messages: 10_000 };
  const before = process.cpuUsage();
  const { devices, apple, outcomes, listed, seconds } = await pushToOffline(sizes);
  const { user, system } = process.cpuUsage(before);
  const ends = devices.filter(({ fate }) => fate === "unregistered" || fate === "bad");
  const kept = ends.filter(({ target }) => listed.has(target.deviceId)).length;
  const alive = devices.filter(({ fate }) => fate === "alive");
  const wanted = new Set(
    alive.flatMap(({ messages }) => messages.map(({ messageId }) => String(messageId))),
  );
  const taken = new Set(apple.taken.map(({ payload }) => payload.message_id));
  return {
    figures: [
      { name: "messages to devices that live", value: wanted.size, unit: "messages" },
      {
        name: "of them not brought",
        value: wanted.difference(taken).size,
        unit: "messages",
        aim: "0",
      },
      {
        name: "brought twice, one in the place of the other",
        value: apple.taken.length - taken.size,
        unit: "messages",
      },
      { name: "dead tokens", value: ends.length, unit: "tokens" },
      { name: "of them not deleted", value: kept, unit: "tokens", aim: "0" },
      { name: "attempts that were to be repeated", value: outcomes.retry, unit: "attempts" },
      { name: "connections", value: apple.connections, unit: "connections" },
      { name: "rate", value: apple.taken.length / seconds, unit: "messages/s" },
      {
        name: "CPU: provider, stand-in and sign-ups",
        value: (user + system) / apple.taken.length,
        unit: "µs/message",
      },
    ],
    notes: [],
  };
}
