/**
 * The traffic of one channel: sends of its members, and the account of what became of each. A
 * send is complete when it was acknowledged and every member's device has received it, its
 * sender's own included.
 */

import type { Latencies } from "./latencies.ts";
import type { LoadClient, LoadListener } from "./load-client.ts";
import { SendFrame } from "./load-frames.ts";

/** What a run comes to; shared by all of its channels. */
export class Account {
  sent = 0;
  acknowledged = 0;
  /** Messages that have reached a device, counted once for each device. */
  delivered = 0;
  /** Sends that are complete. */
  completed = 0;
  /** Repetitions that a device recognises by `channel_sequence`: allowed, and rare. */
  repeated = 0;
  /** Where durations are noted, while they are. */
  acknowledgements: Latencies | undefined;
  deliveries: Latencies | undefined;
  /** Deliveries to the first and to the last of a channel's devices. */
  firstDeliveries: Latencies | undefined;
  lastDeliveries: Latencies | undefined;

  /** The counts, to take the difference of two. */
  counts() {
    const { sent, acknowledged, delivered, completed, repeated } = this;
    return { sent, acknowledged, delivered, completed, repeated };
  }
}

/** Sends of one sender that may be incomplete at once. */
const windowMax = 1_024;

/** Microseconds on the generator's clock. */
export function nowUs(): number {
  return Math.round(performance.now() * 1_000);
}

/** One channel. Its clients are in no other. */
export class LoadChannel implements LoadListener {
  readonly members: readonly LoadClient[];
  readonly account: Account;
  private readonly channelId: string;
  /** The first of its members, as those who send. */
  readonly senders: readonly LoadSender[];
  /** By member: the last item that its device has; 0: none yet. */
  private readonly lastSequences: Uint32Array;

  constructor(
    channelId: string,
    members: readonly LoadClient[],
    account: Account,
    sendersCount: number,
  ) {
    this.channelId = channelId;
    this.members = members;
    this.account = account;
    this.lastSequences = new Uint32Array(members.length);
    for (const [i, client] of members.entries()) client.member = i;
    this.senders = members
      .slice(0, sendersCount)
      .map((client) => new LoadSender(this, client, channelId));
    for (const client of members) client.listener = this;
  }

  onAccepted(client: LoadClient, requestId: number): void {
    this.senders[client.member]!.onAccepted(requestId);
  }

  /** Takes an item that a member's device has received. @throws where an item is missing. */
  onItem(
    client: LoadClient,
    channelSequence: number,
    sender: number,
    number: number,
    dueUs: number,
  ): void {
    const last = this.lastSequences[client.member]!;
    if (channelSequence <= last) {
      this.account.repeated++;
      return;
    }
    if (last !== 0 && channelSequence !== last + 1) {
      throw new Error(`${this.channelId}: a device has item ${channelSequence} after ${last}`);
    }
    this.lastSequences[client.member] = channelSequence;
    if (sender < 0) return;
    this.account.delivered++;
    const ms = (nowUs() - dueUs) / 1_000;
    this.account.deliveries?.add(ms);
    this.senders[sender]!.onDelivered(client.member, number, ms);
  }
}

/** One device that sends. */
export class LoadSender {
  /** Told of each of its sends that is complete. */
  onCompleted: () => void = () => {};
  private readonly channel: LoadChannel;
  private readonly client: LoadClient;
  private readonly frame: SendFrame;
  private sent = 0;
  private completed = 0;
  /** By number within the window: what has not come back yet, acknowledgement and deliveries. */
  private readonly awaited = new Uint16Array(windowMax);
  /** By number within the window: devices that have it. */
  private readonly reached = new Uint16Array(windowMax);
  private readonly dueUs = new Float64Array(windowMax);
  /** By member: the last of this sender's numbers that its device has. */
  private readonly lastNumbers: Uint32Array;

  constructor(channel: LoadChannel, client: LoadClient, channelId: string) {
    this.channel = channel;
    this.client = client;
    this.frame = new SendFrame(channelId, client.member);
    this.lastNumbers = new Uint32Array(channel.members.length);
  }

  /** Sends the next message; latencies count from `dueUs`. */
  send(dueUs: number = nowUs()): void {
    if (this.sent - this.completed >= windowMax) {
      throw new Error(`${windowMax} sends are incomplete: the server doesn't keep up`);
    }
    const number = ++this.sent;
    this.awaited[number % windowMax] = this.channel.members.length + 1;
    this.reached[number % windowMax] = 0;
    this.dueUs[number % windowMax] = dueUs;
    this.channel.account.sent++;
    this.client.send(this.frame.write(number, dueUs, Date.now()));
  }

  /** The server has acknowledged this number. */
  onAccepted(number: number): void {
    const { account } = this.channel;
    account.acknowledged++;
    account.acknowledgements?.add((nowUs() - this.dueUs[number % windowMax]!) / 1_000);
    this.settle(number);
  }

  /** A member's device has this number after so long. @throws where one is missing or repeated. */
  onDelivered(member: number, number: number, ms: number): void {
    const last = this.lastNumbers[member]!;
    if (number !== last + 1) throw new Error(`a device has send ${number} after ${last}`);
    this.lastNumbers[member] = number;
    const { account, members } = this.channel;
    const reached = ++this.reached[number % windowMax]!;
    if (reached === 1) account.firstDeliveries?.add(ms);
    if (reached === members.length) account.lastDeliveries?.add(ms);
    this.settle(number);
  }

  private settle(number: number): void {
    const slot = number % windowMax;
    this.awaited[slot]!--;
    if (this.awaited[slot] !== 0) return;
    this.completed++;
    this.channel.account.completed++;
    this.onCompleted();
  }
}
