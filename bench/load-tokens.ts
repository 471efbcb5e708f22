/** Users without accounts: ids by number, and tokens that the bench signs itself. */
import { accessTokenMsMax, signAccessToken } from "../mesh/access-token.ts";
import type { DeviceId, UserId } from "../mesh/ids.ts";
import type { LoadUser } from "./load-client.ts";

/** A key that tokens are signed with. */
export interface LoadKey {
  keyId: string;
  privateKey: CryptoKey;
  publicKey: Uint8Array;
}

/** Makes a key. */
export async function makeLoadKey(): Promise<LoadKey> {
  const usages: KeyUsage[] = ["sign", "verify"];
  const pair = (await crypto.subtle.generateKey("Ed25519", true, usages)) as CryptoKeyPair;
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  return { keyId: "load", privateKey: pair.privateKey, publicKey };
}

/** The id of the user of this number. */
export function loadUserId(number: number): UserId {
  return `u${String(number).padStart(15, "0")}` as UserId;
}

/** The user of this number with a token for one device. */
export async function signLoadUser(key: LoadKey, number: number): Promise<LoadUser> {
  const userId = loadUserId(number);
  const issueTimeMs = Date.now();
  const accessToken = await signAccessToken(key, {
    userId,
    deviceId: userId.replace("u", "d") as DeviceId,
    issueTimeMs,
    expireTimeMs: issueTimeMs + accessTokenMsMax,
  });
  return { userId, accessToken };
}
