/** The parts of docs/openapi.yaml that are the same whatever the contracts have. */
import type { Schema } from "./openapi-schemas.ts";

/** What one must know before the first call. */
export const intro = `Every method is a POST of a JSON object to /package.Service/Method, as Connect \
has it (https://connectrpc.com/docs/protocol/), and is answered with one.

JSON is proto3's: 64-bit integers, message ids among them, are strings; times are RFC 3339; members \
that have their default value (0, false, the empty text or list) are left out of answers and may be \
left out of requests. Members that are not known are ignored.

A change that has a \`clientMessageId\` may be sent again with the same after any failure: it happens \
once. New messages come over a WebSocket or an event stream (docs/EDGE_PROTOCOL.md), not over this API.`;

/** How a status is answered, with the reasons that the contract names. */
export function refusedResponse(status: number, reasons: readonly string[]): Schema {
  const known = reasons.map((reason) => `\`${reason}\``).join(", ");
  const wait = status === 429 || status === 503;
  return {
    description: known === "" ? titles[status]! : `${titles[status]}: ${known}`,
    ...(wait && { headers: { "Retry-After": retryAfter } }),
    content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
  };
}

/** What is refused before it is a call. */
export const problemResponse: Schema = {
  description: "The request was refused before it was a call (404, 405, 413, 415, …): RFC 9457.",
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
};

const titles: Readonly<Record<number, string>> = {
  400: "Refused as it is",
  401: "Not signed in",
  403: "Not allowed",
  404: "Not found",
  409: "In conflict with what is there",
  429: "Too much",
  499: "Given up by the caller",
  500: "A fault of the service",
  501: "Not supported",
  503: "Away for now",
  504: "Not done in time",
};

const retryAfter = {
  description: "Try again after so many seconds.",
  schema: { type: "integer", minimum: 0 },
};

/** What errors look like. */
export const errorSchemas: Readonly<Record<string, Schema>> = {
  Error: {
    type: "object",
    description: "An error of Connect.",
    required: ["code"],
    properties: {
      code: { type: "string", description: "The gRPC status: `permission_denied`." },
      message: { type: "string", description: "For developers: names the value and the limit." },
      details: {
        type: "array",
        description:
          "`google.rpc.ErrorInfo` (the reason), `RequestInfo`, `BadRequest`, `RetryInfo`.",
        items: { $ref: "#/components/schemas/ErrorDetail" },
      },
    },
  },
  ErrorDetail: {
    type: "object",
    required: ["type", "value"],
    properties: {
      type: { type: "string", description: "The message's name: `google.rpc.ErrorInfo`." },
      value: { type: "string", description: "The message in Protobuf, in base64 without padding." },
      debug: { type: "object", description: 'The same in JSON: `{"reason": "NOT_A_MEMBER"}`.' },
    },
  },
  Problem: {
    type: "object",
    description: "Problem details, RFC 9457.",
    required: ["type", "title", "status", "detail", "reason", "request_id"],
    properties: {
      type: { type: "string", const: "about:blank" },
      title: { type: "string", description: "The status in words." },
      status: { type: "integer", description: "The HTTP status." },
      detail: { type: "string", description: "For developers: names the value and the limit." },
      reason: { type: "string", description: "UPPER_SNAKE, stable: what programs decide on." },
      request_id: { type: "string", description: "Also the header `X-Request-Id`." },
    },
  },
};
