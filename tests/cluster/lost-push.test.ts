/** The role push killed between what it sends to Apple's service and its checkpoint. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { createClient, createHttpTransport, SessionService } from "../../edge/sdk/index.ts";
import { type ApnsArrival, ApnsStandIn } from "../../services/push/apns-stand-in.ts";
import { newAccount } from "../e2e/device.ts";
import { eventually, OwnCluster, startMsMax } from "./own-cluster.ts";

vi.setConfig({ testTimeout: 180_000, hookTimeout: startMsMax });

const membersCount = 20;

const folder = mkdtempSync(join(tmpdir(), "parley-push-"));
let apple: ApnsStandIn;
let own: OwnCluster;
beforeAll(async () => {
  apple = await ApnsStandIn.start();
  own = await OwnCluster.start({
    instances: { idgen: 1, session: 1, presence: 1, message: 1, worker: 1, push: 1 },
    environment: {
      ...apple.settings(folder),
      PARLEY_PUSH_DELAY_MS: "1000",
      PARLEY_PUSH_ONLINE_DELAY_MS: "1000",
    },
  });
});
afterAll(async () => {
  await own?.stop();
  await apple?.close();
  rmSync(folder, { recursive: true });
});

/** A member whose only device takes pushes, and never connects. */
async function offlineMember(n: number) {
  const { userId, accessToken } = await newAccount(own.url, "member");
  const transport = createHttpTransport({ url: own.url, accessToken: async () => accessToken });
  const deviceToken = n.toString(16).padStart(64, "0");
  await createClient(SessionService, transport).registerPushToken({
    token: { service: { case: "apns", value: { deviceToken } } },
  });
  return { userId, deviceToken };
}

it("[N1] what it had sent is repeated under the same collapse id, what it had not is sent, nothing twice later", async () => {
  const members = await Promise.all(
    Array.from({ length: membersCount }, (_, n) => offlineMember(n)),
  );
  await using ann = await own.device("ann");
  const channelId = await ann.createGroup(members);
  const taken = (messageId: bigint) =>
    apple.taken.filter(({ payload }) => payload.message_id === String(messageId));
  const tokensOf = (arrivals: readonly ApnsArrival[]) =>
    new Set(arrivals.map(({ deviceToken }) => deviceToken));
  const everybody = new Set(members.map(({ deviceToken }) => deviceToken));
  const allTaken = (messageId: bigint) =>
    vi.waitFor(() => expect(tokensOf(taken(messageId))).toEqual(everybody), eventually);

  // It has the answers for half of them; the others are under way, so the checkpoint waits.
  const half = membersCount / 2;
  let asked = 0;
  apple.script = () => (++asked > half ? new Promise(() => {}) : undefined);
  const first = await ann.say(channelId, "before");
  await vi.waitFor(() => {
    expect(asked).toBe(membersCount);
    expect(taken(first)).toHaveLength(half);
  }, eventually);
  const answered = taken(first);
  const restarted = own.restartRole("push");
  apple.script = () => undefined;
  await restarted;
  await allTaken(first);
  const again = taken(first).slice(answered.length);
  expect(tokensOf(again)).toEqual(everybody);
  for (const { collapseId } of [...answered, ...again]) expect(collapseId).toBe(channelId);

  // The checkpoint is past it: what is due later does not bring it again.
  const count = apple.taken.length;
  const second = await ann.say(channelId, "after");
  await allTaken(second);
  expect(apple.taken).toHaveLength(count + membersCount);
});
