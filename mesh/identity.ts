/**
 * How a service knows that a call comes from inside the mesh, and on whose behalf: a signed line
 * of metadata, `parley-mesh: <expires>.<user>.<device>.<signature>`. The signature is an
 * HMAC-SHA-256 under the secret that all processes of a mesh share, over the line and the
 * method, so that a line can't be moved to another method or user.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Identity } from "./rpc.ts";

/** The metadata key. */
export const meshMetadataKey = "parley-mesh";

/** How long a line is good: longer than any deadline, short enough to be no password. */
const lifeMs = 60_000;

/** The line that proves a call. */
export function signCall(
  secret: string,
  path: string,
  identity: Identity | undefined,
  nowMs: number,
): string {
  const line = `${nowMs + lifeMs}.${identity?.userId ?? ""}.${identity?.deviceId ?? ""}`;
  return `${line}.${signature(secret, path, line)}`;
}

/**
 * Checks a line.
 * @returns the user's identity, undefined for a call of the mesh's own; or "refused" where the
 * line is forged, malformed or too old.
 */
export function verifyCall(
  secret: string,
  path: string,
  text: string,
  nowMs: number,
): Identity | undefined | "refused" {
  const at = text.lastIndexOf(".");
  const line = text.slice(0, at);
  const given = Buffer.from(text.slice(at + 1));
  const expected = Buffer.from(signature(secret, path, line));
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return "refused";
  const [expires, userId = "", deviceId = ""] = line.split(".");
  if (Number(expires) < nowMs) return "refused";
  return userId === "" ? undefined : { userId, deviceId };
}

function signature(secret: string, path: string, line: string): string {
  return createHmac("sha256", secret).update(path).update("\n").update(line).digest("base64url");
}
