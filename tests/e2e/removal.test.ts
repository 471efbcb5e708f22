/** Who is no member any more receives nothing that comes later, by whatever way it might. */
import type { Client } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { errorReason, type Message, MessageService } from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { Device, newDevices } from "./device.ts";
import { GrpcCalls } from "./grpc-calls.ts";

vi.setConfig({ testTimeout: 60_000 });

let parley: ParleyUnderTest;
let grpc: GrpcCalls<typeof MessageService>;
beforeAll(async () => {
  parley = await openParley();
  grpc = await GrpcCalls.open(parley, MessageService);
});
afterAll(async () => {
  grpc.close();
  await parley.stop();
});

async function meet(...names: string[]): Promise<Device[]> {
  return newDevices(parley.nextUrl, ...names);
}

const reasonOf = (call: Promise<unknown>) => call.then(() => "accepted", errorReason);

function change(by: Device, channelId: string) {
  return { channelId, clientMessageId: by.client.newClientMessageId() };
}

/** How a membership ends; the owner is asked to end it. */
const endings = {
  removed: (owner: Device, channelId: string, { userId }: Device) =>
    owner.calls.removeMember({ ...change(owner, channelId), userId }),
  banned: (owner: Device, channelId: string, { userId }: Device) =>
    owner.calls.banUser({ ...change(owner, channelId), userId }),
  leaving: (_owner: Device, channelId: string, member: Device) =>
    member.calls.leaveGroup(change(member, channelId)),
};

function textsOf(messages: readonly Message[]): string[] {
  return messages.flatMap(({ body }) => (body.case === "text" ? [body.value] : []));
}

async function historyTexts(device: Device, channelId: string): Promise<string[]> {
  const { messages } = await device.http(MessageService).listMessages({ channelId });
  return textsOf(messages).reverse();
}

/** An inbox as a program follows it over gRPC. */
class Follower {
  private readonly calls: Client<typeof MessageService>;
  private readonly messages: Message[] = [];
  private position = { inboxEpoch: "", inboxSequence: 0n };

  constructor(calls: Client<typeof MessageService>) {
    this.calls = calls;
  }

  /** Goes on from where it is until there is a text; tells when it has begun. */
  async follow(last: string, onStarted: () => void = () => {}): Promise<void> {
    const stop = new AbortController();
    for await (const { event } of this.calls.follow(this.position, { signal: stop.signal })) {
      if (event.case === "started") {
        const { inboxEpoch, inboxSequence } = event.value;
        this.position = { inboxEpoch, inboxSequence };
        onStarted();
      }
      if (event.case !== "deliveries") continue;
      for (const { entry, inboxSequence } of event.value.deliveries) {
        this.position.inboxSequence = inboxSequence;
        for (const { item } of entry!.items) {
          if (item.case === "message") this.messages.push(item.value);
        }
      }
      if (textsOf(this.messages).includes(last)) break;
    }
    stop.abort();
  }

  texts(channelId: string): string[] {
    return textsOf(this.messages.filter((message) => message.channelId === channelId));
  }
}

describe.each(Object.entries(endings))("a member, %s", (_, end) => {
  it("[G4] receives nothing of what follows: live, on coming back, from the history, by repair", async () => {
    const [ann, ben, eve] = (await meet("ann", "ben", "eve")) as [Device, Device, Device];
    const channelId = await ann.createGroup([ben, eve]);
    const follower = new Follower(grpc.by(eve));
    let following: Promise<void> | undefined;
    await new Promise<void>((resolve) => {
      following = follower.follow("sorry", resolve);
    });
    await ann.say(channelId, "for all");
    // Sent while the membership ends: on either side of its end, but never on both.
    const during = Array.from({ length: 20 }, (_, at) =>
      ben.client.send(channelId, `during ${at}`),
    );
    await end(ann, channelId, eve);
    await Promise.all(during.map(({ result }) => result));
    await ann.say(channelId, "without her");
    await ben.hears(channelId, "without her");

    const order = ben.told(channelId);
    const removal = order.findIndex(
      ({ body }) => body.case === "membershipChange" && body.value.userIds[0] === eve.userId,
    );
    const hers = textsOf(order.slice(0, removal));
    // What is sent to her elsewhere comes after all of it in her inbox.
    const direct = await ann.openDirect(eve);
    await ann.say(direct, "sorry");
    await eve.hears(direct, "sorry");
    expect(eve.texts(channelId)).toEqual(hers);
    expect(eve.told(channelId).at(-1)).toEqual(order[removal]);
    await following;
    expect(await historyTexts(eve, channelId)).toEqual(hers);
    const { updates } = await eve.calls.syncChannels({ positions: [{ channelId }] });
    expect(textsOf(updates[0]!.messages)).not.toContain("without her");

    await eve.client.close();
    await ann.say(channelId, "still without her");
    await ann.say(direct, "really");
    const back = await Device.connect(parley.nextUrl(), eve.signIn, eve.store);
    await back.hears(direct, "really");
    expect(back.texts(channelId)).toEqual([]);
    expect(await historyTexts(back, channelId)).toEqual(hers);
    const fresh = await back.another();
    expect(await historyTexts(fresh, channelId)).toEqual(hers);
    await follower.follow("really");
    expect(follower.texts(channelId)).toEqual(hers);
    expect(await reasonOf(back.say(channelId, "me too"))).toBe("NOT_A_MEMBER");
    expect(await reasonOf(back.calls.listMembers({ channelId }))).toBe("NOT_A_MEMBER");
    for (const device of [back, fresh, ann, ben]) await device.client.close();
  });
});

describe("who comes back to a group", () => {
  it("[G4] reads what was said before and after, and nothing between", async () => {
    const [ann, eve] = (await meet("ann", "eve")) as [Device, Device];
    const channelId = await ann.createGroup([eve]);
    const { userId } = eve;
    await ann.say(channelId, "before");
    await ann.calls.banUser({ ...change(ann, channelId), userId });
    await ann.say(channelId, "between");
    await ann.calls.unbanUser({ ...change(ann, channelId), userId });
    const { inviteToken } = await ann.calls.createInviteLink(change(ann, channelId));
    await ann.say(channelId, "still between");
    await eve.calls.joinGroup({ ...change(eve, channelId), inviteToken });
    await ann.say(channelId, "after");
    await eve.hears(channelId, "after");
    expect(eve.texts(channelId)).toEqual(["before", "after"]);
    expect(await historyTexts(eve, channelId)).toEqual(["before", "after"]);
  });
});
