/** Who owns a group when its owner leaves: the longest-standing admin, else member. */
import { create } from "@bufbuild/protobuf";
import { type Member, MemberRole } from "../../../gen/parley/message/v1/message_pb.js";
import { ListMembersRequestSchema } from "../../../gen/parley/message/v1/message_service_pb.js";
import { DomainError, retryAfterMsDefault } from "../../../mesh/errors.ts";
import type { CallContext } from "../../../mesh/rpc.ts";
import type { ChannelState } from "../channel/channel-state.ts";
import type { MessageStore } from "../store/message-store.ts";
import type { ChannelCalls } from "./channel-calls.ts";
import { listMembers } from "./list-members.ts";

/** Members to a page. */
const pageSize = 1_000;

/**
 * The state does not know who follows: {@link longestStanding} finds out. Callers see it where that
 * member has left meanwhile, as UNAVAILABLE.
 */
export class SuccessorUnknown extends DomainError<"UNAVAILABLE"> {
  constructor(channelId: string) {
    const text = `who was to own ${channelId} has just left it`;
    super("UNAVAILABLE", text, { retryAfterMs: retryAfterMsDefault });
  }
}

/**
 * Who follows as far as the state tells. Undefined: nobody is left, or it is one of a LIVE group's
 * members without a further role, of whom the state knows few.
 * @param heirId the one that {@link longestStanding} has found among those
 */
export function successor(
  { members, isLive }: ChannelState,
  ownerId: string,
  heirId: string,
): Member | undefined {
  const others = [...members.values()].filter(({ userId }) => userId !== ownerId);
  const admins = others.filter(({ role }) => role === MemberRole.ADMIN);
  if (admins.length > 0) return admins.reduce(longerStanding);
  if (isLive) return members.get(heirId);
  return others.length > 0 ? others.reduce(longerStanding) : undefined;
}

/**
 * Looks through all members of a group that its owner is to leave: 1,000 reads of the store for the
 * largest.
 * @returns the id of the longest-standing one besides the owner; empty: there is none.
 * @throws DomainError as ListMembers
 */
export async function longestStanding(
  channelId: string,
  ownerId: string,
  context: CallContext,
  calls: ChannelCalls,
  store: MessageStore,
): Promise<string> {
  let found: Member | undefined;
  const request = create(ListMembersRequestSchema, { channelId, pageSize });
  do {
    const { members, nextPageToken } = await listMembers(request, context, calls, store);
    for (const member of members) {
      if (member.userId !== ownerId) found = found ? longerStanding(found, member) : member;
    }
    request.pageToken = nextPageToken;
  } while (request.pageToken !== "");
  return found?.userId ?? "";
}

/** Of those who joined together the one with the lesser id. */
function longerStanding(a: Member, b: Member): Member {
  const order = a.joinedSequence - b.joinedSequence || (a.userId < b.userId ? -1 : 1);
  return order < 0 ? a : b;
}
