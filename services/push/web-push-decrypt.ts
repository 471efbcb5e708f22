import { createDecipheriv, createECDH, hkdfSync } from "node:crypto";

const saltBytes = 16;
const keyLengthAt = 20;
const headerBytes = 21;
const tagBytes = 16;
/** Ends the content of a last record; zeros may follow. */
const lastRecord = 2;

/** What a browser keeps of its subscription. */
export interface WebPushReceiver {
  privateKey: Uint8Array;
  auth: Uint8Array;
}

/**
 * Decrypts the body of a push as a browser does: RFC 8291, and RFC 8188 with one record.
 * @throws Error for anything else.
 */
export function decryptWebPush(body: Uint8Array, receiver: WebPushReceiver): string {
  const pair = createECDH("prime256v1");
  pair.setPrivateKey(receiver.privateKey);
  const salt = body.subarray(0, saltBytes);
  const senderKey = body.subarray(headerBytes, headerBytes + body[keyLengthAt]!);
  const sealed = body.subarray(headerBytes + senderKey.length, -tagBytes);

  const derive = (secret: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number) =>
    Buffer.from(hkdfSync("sha256", secret, salt, info, length));
  const keyInfo = Buffer.concat([Buffer.from("WebPush: info\0"), pair.getPublicKey(), senderKey]);
  const shared = derive(pair.computeSecret(senderKey), receiver.auth, keyInfo, 32);
  const key = derive(shared, salt, Buffer.from("Content-Encoding: aes128gcm\0"), 16);
  const nonce = derive(shared, salt, Buffer.from("Content-Encoding: nonce\0"), 12);

  const cipher = createDecipheriv("aes-128-gcm", key, nonce);
  cipher.setAuthTag(body.subarray(-tagBytes));
  const padded = Buffer.concat([cipher.update(sealed), cipher.final()]);
  const end = padded.lastIndexOf(lastRecord);
  if (padded.subarray(end + 1).some((byte) => byte !== 0)) throw new Error("bad padding");
  return padded.toString("utf8", 0, end);
}
