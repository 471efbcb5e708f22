/**
 * Tokens of invite links. A link's token is made from the request that creates it and the mesh's
 * secret, so that a request that comes again gets the same one from any instance; what is kept, and
 * what a link is found by, is the token's hash.
 */
import { createHash, createHmac } from "node:crypto";
import type { InviteLink } from "../../../gen/parley/message/v1/message_pb.js";
import type { ChannelState } from "../channel/channel-state.ts";

/** The token that a creation of a link answers: 128 bits, 22 characters. */
export function inviteToken(
  secret: string,
  channelId: string,
  creatorId: string,
  clientMessageId: string,
): string {
  const line = `invite-link ${channelId} ${creatorId} ${clientMessageId}`;
  return createHmac("sha256", secret).update(line).digest().toString("base64url", 0, 16);
}

/** What is kept of a token. */
export function tokenHash(token: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(token).digest());
}

/** The link of a token, if it can be used at a time. */
export function usableLink(
  state: ChannelState | undefined,
  token: string,
  nowMs: number,
): InviteLink | undefined {
  const hash = tokenHash(token);
  const links = state?.access.usableLinks(nowMs);
  return links?.find((link) => Buffer.compare(link.tokenHash, hash) === 0)?.inviteLink;
}
