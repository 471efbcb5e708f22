/**
 * Refresh tokens. 48 bytes in base64url: the first 16 name the *family*, all tokens of one sign-in;
 * the other 32 are the secret, new with every refresh. The database has SHA-256 hashes of both.
 * So who shows a token of a known family with another secret has had a true token once, and that
 * is a reuse; a forgery has no family and ends nobody's sign-in.
 *
 * The next secret is derived from the present one and a random salt, which is stored until the
 * refresh after it: a client that lost the answer and asks again gets the same answer, and the
 * database alone gives no token away.
 */
import { createHash, createHmac, randomBytes } from "node:crypto";

const familyBytes = 16;
const secretBytes = 32;
const tokenPattern = /^[A-Za-z0-9_-]{64}$/;

/** A refresh token with what is stored of it. */
export interface RefreshToken {
  /** What the device keeps. */
  readonly text: string;
  readonly familyHash: Uint8Array;
  readonly hash: Uint8Array;
}

/** The first token of a new sign-in. */
export function newRefreshToken(): RefreshToken {
  return fromBytes(randomBytes(familyBytes + secretBytes));
}

/** Reads a token; undefined: it is none. */
export function parseRefreshToken(text: string): RefreshToken | undefined {
  return tokenPattern.test(text) ? fromBytes(Buffer.from(text, "base64url")) : undefined;
}

/** A salt for {@link nextRefreshToken}. */
export function newRefreshSalt(): Uint8Array {
  return randomBytes(secretBytes);
}

/** The token that replaces `token`: with the same salt, the same. */
export function nextRefreshToken(token: RefreshToken, salt: Uint8Array): RefreshToken {
  const bytes = Buffer.from(token.text, "base64url");
  const secret = createHmac("sha256", salt).update(bytes.subarray(familyBytes)).digest();
  return fromBytes(Buffer.concat([bytes.subarray(0, familyBytes), secret]));
}

function fromBytes(bytes: Buffer): RefreshToken {
  return {
    text: bytes.toString("base64url"),
    familyHash: sha256(bytes.subarray(0, familyBytes)),
    hash: sha256(bytes.subarray(familyBytes)),
  };
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}
