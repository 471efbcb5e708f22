import type { ListMessagesRequest } from "../../gen/parley/message/v1/message_service_pb.js";
import type { ClientStore } from "./client-store.ts";
import type { EdgeAddresses } from "./edge-addresses.ts";
import type { SentResult } from "./events.ts";
import type { WebSocketConstructor } from "./socket.ts";
import type { Timers } from "./timers.ts";
import type { TokenStore } from "./tokens.ts";
import type { Way } from "./ways.ts";

/** What a client is made with. */
export interface ParleyClientOptions {
  /**
   * Where Parley is: "https://chat.example.com". From there the client goes to the edges that it is
   * assigned, if any are; edges of the app's own choice stand.
   */
  url: string | EdgeAddresses;
  /** Where the client is, as the operator of the edges calls it. Default: anywhere. */
  region?: string;
  /** The device's sign-in, from `signUp` or `logIn`. */
  tokens: TokenStore;
  /**
   * Where the position, unsent texts and the newest messages outlive the program: a
   * FileClientStore in Node, an IndexedDbClientStore in a browser. Default: nowhere.
   */
  store?: ClientStore;
  /**
   * How often channels are compared with the history, on average, besides after every
   * reconnection; 0: never at all. Default: 10 minutes.
   */
  checkIntervalMs?: number;
  /**
   * How frames may travel, the best first. Default: WebSocket; where it is blocked, Server-Sent
   * Events with posts; where something holds those back, long polling.
   */
  ways?: readonly Way[];
  /** What the frames look like on a WebSocket. Default: "protobuf". */
  format?: "protobuf" | "json";
  /** Default: the global one. */
  WebSocket?: WebSocketConstructor;
  /** Default: the global one. */
  fetch?: typeof fetch;
  /** Default: the machine's. */
  timers?: Timers;
  /** From 0 to below 1. Default: Math.random. */
  random?: () => number;
}

/** A text on its way. */
export interface Sending {
  /** The id under which the text will be seen in its channel, unless a `renamed` tells of another. */
  clientMessageId: string;
  /** Its place, once it is acknowledged. Rejects when it is refused for good. */
  result: Promise<SentResult>;
}

/** Which page of a channel's history; see ListMessagesRequest. */
export type HistoryRequest = Partial<Omit<ListMessagesRequest, "$typeName" | "channelId">>;
