/** HTTP as it is, without the SDK. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";

/** What goes with a call. */
export interface PostOptions {
  accessToken?: string;
  /** Default: "application/json". */
  type?: string;
}

/** Calls a method as curl does. A body that is a string is sent as it is. */
export async function post(
  url: string,
  method: string,
  body: unknown,
  { accessToken, type = "application/json" }: PostOptions = {},
) {
  const response = await fetch(`${url}/${method}`, {
    method: "POST",
    headers: {
      "content-type": type,
      ...(accessToken !== undefined && { authorization: `Bearer ${accessToken}` }),
    },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text.startsWith("{") ? JSON.parse(text) : text };
}

/** The reason in a Connect error. */
export function reasonIn(body: { details?: { type: string; debug?: { reason?: string } }[] }) {
  const info = body.details?.find(({ type }) => type === "google.rpc.ErrorInfo");
  return info?.debug?.reason;
}

/** Asks for a path and gives whatever is answered, even to half a request. */
export async function get(
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<IncomingMessage> {
  const sent = request(url, { headers });
  // A server that refuses a long request early may close while it is still being written.
  sent.on("error", () => {});
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  response.resume();
  return response;
}
