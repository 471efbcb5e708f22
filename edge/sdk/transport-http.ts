import { Code, ConnectError, type Interceptor, type Transport } from "@connectrpc/connect";
import { universalClientResponseFromFetch } from "@connectrpc/connect/protocol";
import { createTransport } from "@connectrpc/connect/protocol-connect";
import { EdgeAddresses } from "./edge-addresses.ts";

/** Where calls over HTTP go. */
export interface HttpTransportOptions {
  /** The edge: "https://chat.example.com"; or several, which share one choice. */
  url: string | EdgeAddresses;
  /** Gives the access token to send along; without it calls are made by nobody. */
  accessToken?: () => Promise<string>;
  /** Instead of the global one. */
  fetch?: typeof fetch;
}

/** In its place comes the edge that is used at the time of the call. */
const placeholder = "http://edge";
/** The size of a response that is read. */
const responseBytesMax = 4 * 1024 * 1024;

/**
 * A Connect transport over fetch, for what happens before there is a socket, or without one.
 * A server that can't be reached is UNAVAILABLE.
 */
export function createHttpTransport(options: HttpTransportOptions): Transport {
  const { accessToken } = options;
  const addresses = EdgeAddresses.of(options.url);
  const request = options.fetch ?? globalThis.fetch;
  const authorize: Interceptor = (next) => async (call) => {
    call.header.set("Authorization", `Bearer ${await accessToken!()}`);
    return next(call);
  };
  return createTransport({
    baseUrl: placeholder,
    useBinaryFormat: true,
    interceptors: accessToken ? [authorize] : [],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: Number.MAX_SAFE_INTEGER,
    readMaxBytes: responseBytesMax,
    writeMaxBytes: responseBytesMax,
    async httpClient({ url: path, method, header, body, signal }) {
      // Browsers set their own, and a foreign one would need the server's leave (CORS).
      header.delete("User-Agent");
      // Browsers can't stream a request's body.
      const bytes = body && (await readAll(body));
      const edge = addresses.current;
      const url = edge + path.slice(placeholder.length);
      const lost = (error: unknown) => {
        if (signal?.aborted) return error;
        addresses.leave(edge);
        return unreachable(url, error);
      };
      try {
        const init = { method, headers: header, ...(signal && { signal }) };
        const response = universalClientResponseFromFetch(
          await request(url, { ...init, ...(bytes && { body: bytes }) }),
        );
        return { ...response, body: orThrow(response.body, lost) };
      } catch (error) {
        throw lost(error);
      }
    },
  });
}

function unreachable(url: string, cause: unknown): ConnectError {
  const message = `${new URL(url).origin} can't be reached`;
  return new ConnectError(message, Code.Unavailable, undefined, undefined, cause);
}

/** A server may end in the midst of a response. */
async function* orThrow(
  body: AsyncIterable<Uint8Array>,
  toError: (error: unknown) => unknown,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw toError(error);
  }
}

async function readAll(parts: AsyncIterable<Uint8Array>): Promise<Blob> {
  const read: BlobPart[] = [];
  for await (const part of parts) read.push(part.slice());
  return new Blob(read);
}
