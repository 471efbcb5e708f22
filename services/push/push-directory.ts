/** What push asks of Presence and Session about users. */
import type { Status } from "../../gen/parley/presence/v1/presence_pb.js";
import type { PushMember } from "../../mesh/push-source.ts";
import type { PushTarget } from "./push-provider.ts";

/** A member of a channel who may have to be notified of a text. */
export interface PushQuestion extends PushMember {
  /** Whose text it is. */
  senderId: string;
}

/** How a member of a channel is to be notified. */
export interface PushRecipient {
  /** None: the user wants none now, of the channel or of the sender, or has no device for it. */
  targets: readonly PushTarget[];
  /** The user has blocked the sender: a text of somebody else's may still be wanted. */
  isSenderBlocked?: boolean;
  /** Whether texts are shown. */
  previews: boolean;
}

/** Presence and Session, as push sees them. Everything rejects where they can't be asked. */
export interface PushDirectory {
  /** The presence of at most 100 users, in their order. */
  statuses(userIds: readonly string[]): Promise<Status[]>;

  /** How these members, at most 100, are to be notified, in their order. */
  recipients(questions: readonly PushQuestion[]): Promise<PushRecipient[]>;

  /** What these users, at most 100, are called, by id; who is gone is left out. */
  names(userIds: readonly string[]): Promise<ReadonlyMap<string, string>>;

  /** The provider says that a target is no more; one that was registered since then stays. */
  forget(target: PushTarget, sinceMs: number | undefined): Promise<void>;
}
