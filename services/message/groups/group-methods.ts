/** The methods that make and keep groups. */
import { MemberRole } from "../../../gen/parley/message/v1/message_pb.js";
import type { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { CheckContactsRequest_Kind as Kind } from "../../../gen/parley/session/v1/session_service_pb.js";
import type { Clock } from "../../../mesh/clock.ts";
import { fieldInvalid } from "../../../mesh/errors.ts";
import type { Handlers } from "../../../mesh/rpc.ts";
import { createGroup, groupChannelId } from "../channel/changes.ts";
import { idPage } from "../page-tokens.ts";
import {
  checkClientMessageId,
  checkExpireTime,
  checkGroupName,
  checkInviteToken,
  checkUserId,
  checkUserIds,
  requireIdentity,
} from "../request-fields.ts";
import type { MessageStore } from "../store/message-store.ts";
import type { ChannelCalls } from "./channel-calls.ts";
import {
  changeSettings,
  createInviteLink,
  deleteChannel,
  renameGroup,
  revokeInviteLink,
} from "./group-changes.ts";
import { inviteToken, tokenHash } from "./invite-tokens.ts";
import {
  addMembers,
  banUser,
  joinGroup,
  leaveGroup,
  removeMember,
  setMemberRole,
  transferOwnership,
  unbanUser,
} from "./member-changes.ts";
import { longestStanding, SuccessorUnknown } from "./succession.ts";

type GroupMethod =
  | "createGroup"
  | "addMembers"
  | "removeMember"
  | "joinGroup"
  | "leaveGroup"
  | "banUser"
  | "unbanUser"
  | "listBans"
  | "setMemberRole"
  | "transferOwnership"
  | "renameGroup"
  | "changeGroupSettings"
  | "deleteChannel"
  | "createInviteLink"
  | "revokeInviteLink"
  | "listInviteLinks";

/**
 * Serves them.
 * @param inviteSecret what tokens of invite links are made with; the same in all instances
 */
export function groupMethods(
  calls: ChannelCalls,
  store: MessageStore,
  clock: Clock,
  inviteSecret: string,
): Pick<Handlers<typeof MessageService>, GroupMethod> {
  const now = () => clock.nowMs();
  return {
    async createGroup(request, context) {
      const { userId } = requireIdentity(context);
      const { clientMessageId, userIds } = request;
      checkClientMessageId(clientMessageId, now());
      checkGroupName(request.name);
      checkUserIds("user_ids", userIds, 0, 99);
      await calls.requireContacts(Kind.GROUP_ADD, userIds, context);
      const channelId = groupChannelId(userId, clientMessageId);
      const decide = createGroup(channelId, userId, request.name, request, userIds, now());
      const wanted = { channelId, clientMessageId, decide, userIds };
      return { channel: await calls.changed(wanted, context) };
    },

    async addMembers({ channelId, clientMessageId, userIds }, context) {
      const { userId } = requireIdentity(context);
      checkUserIds("user_ids", userIds, 1, 99);
      await calls.requireContacts(Kind.GROUP_ADD, userIds, context);
      const decide = addMembers(channelId, userId, userIds);
      const wanted = { channelId, clientMessageId, decide, userIds };
      return { channel: await calls.changed(wanted, context) };
    },

    async removeMember({ channelId, clientMessageId, userId }, context) {
      checkUserId("user_id", userId);
      const decide = removeMember(channelId, requireIdentity(context).userId, userId);
      const wanted = { channelId, clientMessageId, decide, userIds: [userId] };
      return { channel: await calls.changed(wanted, context) };
    },

    async joinGroup({ channelId, clientMessageId, inviteToken }, context) {
      checkInviteToken(inviteToken);
      const decide = joinGroup(channelId, requireIdentity(context).userId, inviteToken, now);
      return { channel: await calls.changed({ channelId, clientMessageId, decide }, context) };
    },

    async leaveGroup({ channelId, clientMessageId }, context) {
      const { userId } = requireIdentity(context);
      const leave = (heirId: string) => {
        const decide = leaveGroup(channelId, userId, heirId);
        const userIds = heirId === "" ? [] : [heirId];
        return calls.change({ channelId, clientMessageId, decide, userIds }, context);
      };
      try {
        await leave("");
      } catch (thrown) {
        if (!(thrown instanceof SuccessorUnknown)) throw thrown;
        await leave(await longestStanding(channelId, userId, context, calls, store));
      }
      return {};
    },

    async banUser({ channelId, clientMessageId, userId }, context) {
      checkUserId("user_id", userId);
      const decide = banUser(channelId, requireIdentity(context).userId, userId);
      const wanted = { channelId, clientMessageId, decide, userIds: [userId] };
      return { channel: await calls.changed(wanted, context) };
    },

    async unbanUser({ channelId, clientMessageId, userId }, context) {
      checkUserId("user_id", userId);
      const decide = unbanUser(channelId, requireIdentity(context).userId, userId);
      return { channel: await calls.changed({ channelId, clientMessageId, decide }, context) };
    },

    async listBans(request, context) {
      const bans = await calls.look("LIST_BANS", request.channelId, context, ({ access }) => {
        return [...access.bans.values()];
      });
      const { rows, nextPageToken } = idPage(bans, request, 100, 1_000);
      return { bans: rows, nextPageToken };
    },

    async setMemberRole({ channelId, clientMessageId, userId, role }, context) {
      checkUserId("user_id", userId);
      if (role !== MemberRole.MEMBER && role !== MemberRole.ADMIN) {
        throw fieldInvalid("role", `is ${MemberRole[role] ?? role}, must be MEMBER or ADMIN`);
      }
      const decide = setMemberRole(channelId, requireIdentity(context).userId, userId, role);
      const wanted = { channelId, clientMessageId, decide, userIds: [userId] };
      return { channel: await calls.changed(wanted, context) };
    },

    async transferOwnership({ channelId, clientMessageId, userId }, context) {
      checkUserId("user_id", userId);
      const decide = transferOwnership(channelId, requireIdentity(context).userId, userId);
      const wanted = { channelId, clientMessageId, decide, userIds: [userId] };
      return { channel: await calls.changed(wanted, context) };
    },

    async renameGroup({ channelId, clientMessageId, name }, context) {
      checkGroupName(name);
      const decide = renameGroup(channelId, requireIdentity(context).userId, name);
      return { channel: await calls.changed({ channelId, clientMessageId, decide }, context) };
    },

    async changeGroupSettings(request, context) {
      const { channelId, clientMessageId } = request;
      const decide = changeSettings(channelId, requireIdentity(context).userId, request);
      return { channel: await calls.changed({ channelId, clientMessageId, decide }, context) };
    },

    async deleteChannel({ channelId, clientMessageId }, context) {
      const decide = deleteChannel(channelId, requireIdentity(context).userId);
      return { channel: await calls.changed({ channelId, clientMessageId, decide }, context) };
    },

    async createInviteLink({ channelId, clientMessageId, expireTime, maxUses }, context) {
      const { userId } = requireIdentity(context);
      const expireTimeMs = checkExpireTime(expireTime);
      const token = inviteToken(inviteSecret, channelId, userId, clientMessageId);
      const decide = createInviteLink(channelId, userId, { token, expireTimeMs, maxUses }, now);
      const wanted = { channelId, clientMessageId, decide };
      const { placement, state } = await calls.change(wanted, context);
      const link = state.access.inviteLinks.get(placement!.channelSequence);
      const isToken = link && Buffer.compare(link.tokenHash, tokenHash(token)) === 0;
      return {
        ...(link?.inviteLink && { inviteLink: link.inviteLink }),
        inviteToken: isToken ? token : "",
      };
    },

    async revokeInviteLink({ channelId, clientMessageId, inviteLinkId }, context) {
      const decide = revokeInviteLink(channelId, requireIdentity(context).userId, inviteLinkId);
      await calls.change({ channelId, clientMessageId, decide }, context);
      return {};
    },

    async listInviteLinks({ channelId }, context) {
      const links = await calls.look("LIST_LINKS", channelId, context, ({ access }) => {
        return access.usableLinks(now());
      });
      return { inviteLinks: links.map(({ inviteLink }) => inviteLink!) };
    },
  };
}
