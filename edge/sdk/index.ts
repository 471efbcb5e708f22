/** Parley's SDK: chat from browsers and Node. See docs/SDK.md. */
export { type Client, createClient, type Transport } from "@connectrpc/connect";
export * from "../../gen/parley/message/v1/cursor_pb.js";
export * from "../../gen/parley/message/v1/message_pb.js";
export { MessageOrder, MessageService } from "../../gen/parley/message/v1/message_service_pb.js";
export * from "../../gen/parley/message/v1/search_pb.js";
export * from "../../gen/parley/presence/v1/presence_pb.js";
export { PresenceService } from "../../gen/parley/presence/v1/presence_service_pb.js";
export * from "../../gen/parley/session/v1/session_pb.js";
export { SessionService } from "../../gen/parley/session/v1/session_service_pb.js";
export type { ChannelCounts, KnownChannel } from "./channel-state.ts";
export { ParleyClient } from "./client.ts";
export type { HistoryRequest, ParleyClientOptions, Sending } from "./client-options.ts";
export { type ClientStore, MemoryClientStore } from "./client-store.ts";
export { IndexedDbClientStore } from "./client-store-indexeddb.ts";
export type { ConnectionState } from "./connection.ts";
export type { ChannelPosition, QueuedSend } from "./device-entries.ts";
export { EdgeAddresses } from "./edge-addresses.ts";
export { errorReason, errorRetryAfterMs, type SdkReason } from "./errors.ts";
export type {
  Baseline,
  CursorMoved,
  ParleyEvents,
  Refused,
  Renamed,
  Revised,
  Sent,
  SentResult,
  UnreadCount,
} from "./events.ts";
export type { Reading } from "./reading.ts";
export type { WebSocketConstructor, WebSocketLike } from "./socket.ts";
export { systemTimers, type Timers } from "./timers.ts";
export { logIn, memoryTokenStore, type SignIn, signUp, type TokenStore } from "./tokens.ts";
export { createHttpTransport, type HttpTransportOptions } from "./transport-http.ts";
export { allWays, type HttpWay, type Way } from "./ways.ts";
