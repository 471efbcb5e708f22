/** What is read of an HTTP request that carries frames. */
import type { IncomingMessage } from "node:http";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { fromJsonString } from "@bufbuild/protobuf";
import { fieldInvalid } from "../mesh/errors.ts";
import { HttpRefused } from "./http-problem.ts";

/** The access token of a request; empty: it has none. */
export function bearerToken(authorization: string | null | undefined): string {
  const [scheme, token] = (authorization ?? "").split(" ");
  return scheme?.toLowerCase() === "bearer" ? (token ?? "") : "";
}

/**
 * Reads a body in JSON; undefined: there is none.
 * @throws HttpRefused BODY_TOO_LARGE
 * @throws DomainError FIELD_INVALID where it is no such message
 */
export async function readJson<Schema extends DescMessage>(
  request: IncomingMessage,
  schema: Schema,
  bytesMax: number,
): Promise<MessageShape<Schema> | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw bodyTooLarge(bytesMax);
    chunks.push(chunk);
  }
  if (bytes === 0) return undefined;
  try {
    const text = Buffer.concat(chunks).toString();
    return fromJsonString(schema, text, { ignoreUnknownFields: true });
  } catch (error) {
    const description = `not a ${schema.typeName}: ${(error as Error).message}`;
    throw fieldInvalid("body", description.slice(0, 500));
  }
}

/** A body exceeds the limit of its path. */
export function bodyTooLarge(bytesMax: number): HttpRefused {
  return new HttpRefused(413, "BODY_TOO_LARGE", `the body exceeds ${bytesMax} bytes, the limit`);
}
