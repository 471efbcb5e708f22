/** Plays a topic: people meet, talk in their channels, and what each was told is checked. */
import { setTimeout as sleep } from "node:timers/promises";
import { concurrently } from "../../mesh/concurrently.ts";
import type { Way } from "../sdk/index.ts";
import { checkDevice, checkStays, type Faults, type Shown } from "./replay-check.ts";
import type { Measures } from "./replay-measures.ts";
import { groupDialoguesMax, type PlannedChannel, type PlannedTopic } from "./replay-plan.ts";
import type { Account, Server } from "./replay-server.ts";
import { Speaker } from "./replay-speaker.ts";
import { talk } from "./replay-talk.ts";

/** What all of a replay has in common. */
export interface Replay {
  server: Server;
  /** How devices connect. */
  way: Way;
  /** Dialogues of a topic that are played at once. */
  concurrency: number;
  measures: Measures;
  faults: Faults;
  /** Aborted when nothing moves any more. */
  stalled: AbortSignal;
  /** A user name that nobody has. */
  newUsername(): string;
  /** The channel exists; the account is a member's. */
  onChannel(channel: PlannedChannel, channelId: string, member: Account): void;
  /** Something went wrong that ends a part of the replay. */
  onProblem(problem: string): void;
}

/** Plays a topic to its end or to where nothing moves any more. Never rejects. */
export async function playTopic(replay: Replay, { group, direct }: PlannedTopic): Promise<void> {
  await playTogether(replay, direct.slice(0, groupDialoguesMax), group);
  await concurrently(direct.slice(groupDialoguesMax), replay.concurrency, (channel) =>
    playTogether(replay, [channel]),
  );
}

/** Plays dialogues whose speakers are all connected meanwhile, and are members of the group. */
async function playTogether(
  replay: Replay,
  direct: readonly PlannedChannel[],
  group?: PlannedChannel,
): Promise<void> {
  if (replay.stalled.aborted) return;
  const meeting = new Meeting(replay);
  try {
    await unlessAborted(replay.stalled, meeting.play(direct, group));
  } catch (error) {
    replay.onProblem(`${(group ?? direct[0]!).title}: ${error}`);
  }
  await meeting.check();
  await meeting.end();
}

/** A group that is nearly full has no place for guests. */
const visitedMembersMax = 90;

/** People who are connected at the same time, and their channels. */
class Meeting {
  private readonly replay: Replay;
  private readonly speakers: Speaker[] = [];
  private readonly channels: OpenChannel[] = [];
  private readonly guests: { title: string; groupId: string; guest: Speaker }[] = [];
  private isOver = false;

  constructor(replay: Replay) {
    this.replay = replay;
  }

  /** Resolves when everybody has heard everything. */
  async play(direct: readonly PlannedChannel[], group?: PlannedChannel): Promise<void> {
    const { concurrency } = this.replay;
    const pairs: (readonly [Speaker, Speaker])[] = await concurrently(direct, concurrency, () =>
      Promise.all([this.join(), this.join()]),
    );
    const members = pairs.flat();
    const groupId = group && (await members[0]!.createGroup(group.title, members.slice(1)));
    if (groupId) this.opened(group, groupId, members);
    const talking = concurrently(direct, concurrency, async (channel, at) => {
      const pair = pairs[at]!;
      const channelId = await pair[0].openDirectChannel(pair[1]);
      this.opened(channel, channelId, pair);
      await Promise.all([
        talk(pair, channelId, channel.dialogues[0]!),
        groupId && talk(pair, groupId, group.dialogues[at]!),
      ]);
    });
    await Promise.all([talking, groupId && this.visits(group, groupId, members)]);
    await Promise.all(this.channels.map(everybodyHeard));
  }

  /** A guest comes to a group and goes again, while others talk. */
  private async visits(
    { title, visits }: PlannedChannel,
    groupId: string,
    members: readonly Speaker[],
  ): Promise<void> {
    if (visits.length === 0 || members.length >= visitedMembersMax) return;
    const owner = members[0]!;
    const guest = await this.join();
    this.guests.push({ title, groupId, guest });
    for (const stayMs of visits) {
      await owner.addMember(groupId, guest);
      await sleep(stayMs);
      const removal = await owner.removeMember(groupId, guest);
      await Promise.all([...members, guest].map((each) => each.hears(removal)));
    }
  }

  /** Compares what every device was told with the histories. */
  async check(): Promise<void> {
    const { server, faults, concurrency } = this.replay;
    await concurrently(this.channels, concurrency, async ({ channel, channelId, members }) => {
      let history: Shown[];
      try {
        history = await server.history(members[0]!.account, channelId);
      } catch (error) {
        faults.add("lost", `${channel.title}: no history to compare devices with: ${error}`);
        return;
      }
      for (const member of members) {
        const title = `${channel.title} at ${member.account.username}`;
        checkDevice(title, member.told(channelId), history, faults);
      }
    });
    for (const { title, groupId, guest } of this.guests)
      await this.checkGuest(title, groupId, guest);
  }

  /** A guest is told of all that its own history has, of each stay, and of nothing else. */
  private async checkGuest(title: string, groupId: string, guest: Speaker): Promise<void> {
    const { server, faults } = this.replay;
    const history = await server.history(guest.account, groupId);
    checkStays(`${title} at the guest`, guest.told(groupId), history, faults);
  }

  /** Who has not come yet is not let in any more. */
  async end(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.speakers.map((speaker) => speaker.close()));
  }

  private async join(): Promise<Speaker> {
    const { server, way, measures, stalled, newUsername } = this.replay;
    const account = await server.signUp(newUsername());
    measures.moves++;
    const speaker = await Speaker.open(server.nextUrl(), way, account, measures, stalled);
    if (this.isOver) throw new Error("too late");
    this.speakers.push(speaker);
    await speaker.connect();
    return speaker;
  }

  private opened(channel: PlannedChannel, channelId: string, members: readonly Speaker[]): void {
    this.channels.push({ channel, channelId, members });
    this.replay.onChannel(channel, channelId, members[0]!.account);
  }
}

interface OpenChannel {
  channel: PlannedChannel;
  channelId: string;
  members: readonly Speaker[];
}

/** Every member's device knows every turn, and all that was done to it. */
async function everybodyHeard({ channel, members }: OpenChannel): Promise<void> {
  const turns = channel.dialogues.flatMap((dialogue) => dialogue.turns);
  await Promise.all(
    members.flatMap((member) =>
      turns.flatMap((turn) => [
        member.hears(turn.clientMessageId!),
        member.sees(turn.acknowledgedId!, turn.changedSequence ?? 0),
      ]),
    ),
  );
}

/** Waits for the work no longer than to the signal; the work itself goes on. */
function unlessAborted(signal: AbortSignal, work: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
