import { ECDH } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import {
  ApnsEnvironment,
  type ApnsToken,
  ApnsTokenSchema,
  type PushToken,
  PushTokenSchema,
  type WebPushSubscription,
} from "../../gen/parley/session/v1/session_pb.js";
import { fieldInvalid } from "../../mesh/errors.ts";
import { checkPublicHost, type PrivateHosts } from "../../mesh/public-hosts.ts";

const deviceTokenPattern = /^(?:[0-9a-f]{2}){32,100}$/;
const endpointLengthMax = 1_024;
const p256dhBytes = 65;
const authBytes = 16;

/** A token as it is stored: the hexadecimal digits in lower case, the environment named. */
export function requirePushToken(
  field: string,
  token: PushToken | undefined,
  privateHosts: PrivateHosts,
): PushToken {
  const service = token?.service;
  if (service?.case === "apns") {
    const value = requireApnsToken(`${field}.apns`, service.value);
    return create(PushTokenSchema, { service: { case: "apns", value } });
  }
  if (service?.case === "webPush") {
    requireSubscription(`${field}.web_push`, service.value, privateHosts);
    return create(PushTokenSchema, { service });
  }
  throw fieldInvalid(field, "it names no service");
}

/** What a token is found by: no two devices have the same. */
export function addressOf({ service }: PushToken): string {
  if (service.case === "apns") return service.value.deviceToken;
  if (service.case === "webPush") return service.value.endpoint;
  return "";
}

function requireApnsToken(field: string, token: ApnsToken): ApnsToken {
  const deviceToken = token.deviceToken.toLowerCase();
  if (!deviceTokenPattern.test(deviceToken)) {
    const length = token.deviceToken.length;
    throw fieldInvalid(
      `${field}.device_token`,
      `${length} characters are not 64 to 200 hexadecimal digits`,
    );
  }
  if (!(token.environment in ApnsEnvironment)) {
    throw fieldInvalid(`${field}.environment`, `${token.environment} is not 0 to 2`);
  }
  const environment = token.environment || ApnsEnvironment.PRODUCTION;
  return create(ApnsTokenSchema, { deviceToken, environment });
}

function requireSubscription(
  field: string,
  { endpoint, p256dh, auth }: WebPushSubscription,
  privateHosts: PrivateHosts,
): void {
  requireEndpoint(`${field}.endpoint`, endpoint, privateHosts);
  if (p256dh.length !== p256dhBytes || p256dh[0] !== 4 || !isOnCurve(p256dh)) {
    throw fieldInvalid(`${field}.p256dh`, "it is not an uncompressed point of P-256 (65 bytes)");
  }
  if (auth.length !== authBytes) {
    throw fieldInvalid(`${field}.auth`, `${auth.length} bytes are not ${authBytes}`);
  }
}

/** Messages don't repeat the URL: who has it may push to the device. */
function requireEndpoint(field: string, endpoint: string, privateHosts: PrivateHosts): void {
  if (endpoint.length > endpointLengthMax) {
    throw fieldInvalid(field, `${endpoint.length} characters are more than ${endpointLengthMax}`);
  }
  const url = URL.parse(endpoint);
  if (url?.protocol !== "https:" || url.username || url.password || url.href !== endpoint) {
    throw fieldInvalid(field, "it is not an https URL in its normal form");
  }
  try {
    checkPublicHost(url, privateHosts);
  } catch {
    throw fieldInvalid(field, `${url.host} is not on the public internet`);
  }
}

function isOnCurve(point: Uint8Array): boolean {
  try {
    ECDH.convertKey(point, "prime256v1");
    return true;
  } catch {
    return false;
  }
}
