import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Status } from "../../gen/parley/presence/v1/presence_pb.js";
import { PresenceService } from "../../gen/parley/presence/v1/presence_service_pb.js";
import { SessionService } from "../../gen/parley/session/v1/session_service_pb.js";
import type { Clock } from "../../mesh/clock.ts";
import { RecentMap } from "../../mesh/recent-map.ts";
import type { Mesh } from "../../mesh/rpc.ts";
import type { PushDirectory, PushQuestion, PushRecipient } from "./push-directory.ts";
import type { PushTarget } from "./push-provider.ts";

/** Names that are remembered: 5 MB. */
const namesMax = 20_000;
/** How old one may be. */
const nameAgeMaxMs = 5 * 60_000;

/** Asks Presence and Session over the mesh. */
export class MeshPushDirectory implements PushDirectory {
  private readonly presence;
  private readonly session;
  private readonly clock: Clock;
  private readonly known = new RecentMap<string, { name: string | undefined; atMs: number }>(
    namesMax,
  );

  constructor(mesh: Pick<Mesh, "client">, clock: Clock) {
    this.presence = mesh.client(PresenceService);
    this.session = mesh.client(SessionService);
    this.clock = clock;
  }

  async statuses(userIds: readonly string[]): Promise<Status[]> {
    const { presences } = await this.presence.getPresence({ userIds: [...userIds] });
    return presences.map(({ status }) => status);
  }

  async recipients(questions: readonly PushQuestion[]): Promise<PushRecipient[]> {
    const { recipients } = await this.session.listPushTargets({
      userIds: [...new Set(questions.map(({ userId }) => userId))],
      channelIds: [...new Set(questions.map(({ channelId }) => channelId))],
      senderIds: [...new Set(questions.map(({ senderId }) => senderId))],
    });
    const byUser = new Map(recipients.map((recipient) => [recipient.userId, recipient]));
    return questions.map(({ userId, channelId, senderId }) => {
      const found = byUser.get(userId);
      if (!found || found.mutedChannelIds.includes(channelId)) return noTargets;
      if (found.blockedSenderIds.includes(senderId)) return { ...noTargets, isSenderBlocked: true };
      const targets = found.targets.flatMap(({ deviceId, token }) =>
        token ? { userId, deviceId, token } : [],
      );
      return { targets, previews: found.previews };
    });
  }

  async names(userIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const atMs = this.clock.monotonicMs();
    const unknown = userIds.filter((userId) => {
      const entry = this.known.get(userId);
      return !entry || entry.atMs + nameAgeMaxMs < atMs;
    });
    if (unknown.length > 0) {
      const { users } = await this.session.listUsers({ userIds: unknown });
      const found = new Map(users.map(({ userId, displayName }) => [userId, displayName]));
      for (const userId of unknown) this.known.set(userId, { name: found.get(userId), atMs });
    }
    return new Map(
      userIds.flatMap((userId) => {
        const name = this.known.get(userId)?.name;
        return name === undefined ? [] : [[userId, name]];
      }),
    );
  }

  async forget({ deviceId, token }: PushTarget, sinceMs: number | undefined): Promise<void> {
    const goneTime = sinceMs === undefined ? {} : { goneTime: timestampFromMs(sinceMs) };
    await this.session.deletePushToken({ deviceId, token, ...goneTime });
  }
}

const noTargets: PushRecipient = { targets: [], previews: false };
