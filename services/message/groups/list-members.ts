/** Pages of a channel's members. */
import type { Member } from "../../../gen/parley/message/v1/message_pb.js";
import type {
  ListMembersRequest,
  ListMembersResponse,
} from "../../../gen/parley/message/v1/message_service_pb.js";
import { unavailable } from "../../../mesh/errors.ts";
import type { CallContext } from "../../../mesh/rpc.ts";
import type { ChannelState } from "../channel/channel-state.ts";
import { memberOfRow } from "../channel/live-members.ts";
import { orUnavailable } from "../message-codes.ts";
import { idPage, readIdToken } from "../page-tokens.ts";
import { pageSize } from "../request-fields.ts";
import type { MessageStore } from "../store/message-store.ts";
import type { ChannelCalls } from "./channel-calls.ts";

const pageSizeDefault = 100;
const pageSizeMax = 1_000;

/** Lists them, ordered by user id. @throws DomainError NOT_A_MEMBER, FIELD_INVALID, UNAVAILABLE */
export async function listMembers(
  request: ListMembersRequest,
  context: CallContext,
  calls: ChannelCalls,
  store: MessageStore,
): Promise<Omit<ListMembersResponse, "$typeName">> {
  const known = await calls.look("LIST_MEMBERS", request.channelId, context, membersKnown);
  const members = known.isAll ? known.members : await withStored(request, known, store);
  const { rows, nextPageToken } = idPage(members, request, pageSizeDefault, pageSizeMax);
  return { members: rows, nextPageToken };
}

interface AllMembers {
  isAll: true;
  members: Member[];
}

/** Of a LIVE channel what the store may not have. */
interface LateMembers {
  isAll: false;
  changed: Map<string, Member | undefined>;
  coveredSequence: number;
}

function membersKnown(state: ChannelState): AllMembers | LateMembers {
  if (!state.isLive) return { isAll: true, members: [...state.members.values()] };
  const { coveredSequence } = state;
  return { isAll: false, changed: new Map(state.changedMembers()), coveredSequence };
}

/** The members from the page's beginning on, at least one more than it takes if there are. */
async function withStored(
  { channelId, pageToken, pageSize: wanted }: ListMembersRequest,
  { changed, coveredSequence }: LateMembers,
  store: MessageStore,
): Promise<Member[]> {
  const size = pageSize(wanted, pageSizeDefault, pageSizeMax);
  const persisted = (await orUnavailable(store.getChannel(channelId)))?.sequence ?? 0;
  if (persisted < coveredSequence) throw unavailable(`members of ${channelId} are being stored`);
  const members: Member[] = [];
  const rowsMax = Math.min(size + 1, pageSizeMax);
  for (let after = readIdToken(pageToken); members.length <= size; ) {
    const rows = await orUnavailable(store.listMembers(channelId, after, rowsMax));
    const isEnd = rows.length < rowsMax;
    const last = rows.at(-1)?.userId ?? "";
    members.push(...rows.filter(({ userId }) => !changed.has(userId)).map(memberOfRow));
    for (const [userId, member] of changed) {
      if (member && userId > after && (isEnd || userId <= last)) members.push(member);
    }
    if (isEnd) break;
    after = last;
  }
  return members;
}
