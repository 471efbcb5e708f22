/** Changes of what a group is like: its name, its settings, the links by which it can be joined. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ChannelChangeSchema } from "../../../gen/parley/message/v1/message_pb.js";
import { fieldInvalid } from "../../../mesh/errors.ts";
import { inviteLinksMax } from "../channel/access-state.ts";
import type { Decide, Settings } from "../channel/changes.ts";
import type { Decision } from "../channel/channel-change.ts";
import { authorise } from "../channel/permissions.ts";
import { refuse } from "../message-codes.ts";
import { tokenHash } from "./invite-tokens.ts";

/** Gives a group another name. */
export function renameGroup(channelId: string, actorId: string, name: string): Decide {
  return (state) => {
    const { channel } = authorise("RENAME", state, channelId, actorId);
    return channel.name === name ? undefined : change({ case: "name", value: name });
  };
}

/** Deletes a group. */
export function deleteChannel(channelId: string, actorId: string): Decide {
  return (state) => {
    authorise("DELETE_CHANNEL", state, channelId, actorId);
    return change({ case: "deletion", value: {} });
  };
}

/** Settings to change; what is undefined stays. */
export type SettingsPatch = { readonly [Name in keyof Settings]?: boolean | undefined };

/** Changes settings of a group. */
export function changeSettings(channelId: string, actorId: string, patch: SettingsPatch): Decide {
  return (state) => {
    const { channel } = authorise("CHANGE_SETTINGS", state, channelId, actorId);
    const settings: Settings = {
      public: patch.public ?? channel.public,
      historyBeforeJoining: patch.historyBeforeJoining ?? channel.historyBeforeJoining,
      membersMayAdd: patch.membersMayAdd ?? channel.membersMayAdd,
      membersMayRename: patch.membersMayRename ?? channel.membersMayRename,
    };
    const names = Object.keys(settings) as (keyof Settings)[];
    if (names.every((name) => settings[name] === channel[name])) return undefined;
    return change({ case: "settings", value: settings });
  };
}

/** What a link is to be like. */
export interface LinkTerms {
  token: string;
  /** In ms since 1970; undefined: it can be used for ever. */
  expireTimeMs: number | undefined;
  maxUses: number;
}

/**
 * Creates a link.
 * @param now the time when it is decided, in ms since 1970
 */
export function createInviteLink(
  channelId: string,
  creatorId: string,
  { token, expireTimeMs, maxUses }: LinkTerms,
  now: () => number,
): Decide {
  return (state) => {
    const group = authorise("CREATE_LINK", state, channelId, creatorId);
    const nowMs = now();
    if (expireTimeMs !== undefined && expireTimeMs <= nowMs) {
      throw fieldInvalid("expire_time", "has passed");
    }
    if (group.access.usableLinks(nowMs).length >= inviteLinksMax) {
      const text = `${channelId} has ${inviteLinksMax} links, the limit: revoke one`;
      throw refuse("INVITE_LINKS_FULL", text);
    }
    const inviteLink = {
      ...{ creatorId, createTime: timestampFromMs(nowMs), maxUses },
      ...(expireTimeMs !== undefined && { expireTime: timestampFromMs(expireTimeMs) }),
    };
    const value = { inviteLink, tokenHash: tokenHash(token) };
    return change({ case: "inviteLinkCreated", value });
  };
}

/** Ends a link. */
export function revokeInviteLink(channelId: string, actorId: string, inviteLinkId: number): Decide {
  return (state) => {
    const { access } = authorise("REVOKE_LINK", state, channelId, actorId);
    if (!access.inviteLinks.has(inviteLinkId)) return undefined;
    return change({ case: "revokedInviteLinkId", value: inviteLinkId });
  };
}

type ChangeInit = NonNullable<
  Extract<MessageInitShape<typeof ChannelChangeSchema>, { $typeName?: never }>["change"]
>;

function change(init: ChangeInit): Decision {
  return { body: { case: "channelChange", value: create(ChannelChangeSchema, { change: init }) } };
}
