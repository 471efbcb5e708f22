import { z } from "zod";
import { type ConfigOf, defineConfig } from "../mesh/config.ts";

const integer = (min: number, max: number) => z.coerce.number().int().min(min).max(max);

const isOrigin = (text: string) =>
  text === "*" || (URL.canParse(text) && new URL(text).origin === text);

/** With what a draining edge says besides, it fits into the reason of a close frame. */
const publicUrlLengthMax = 96;

const publicUrl = z
  .url({ protocol: /^https?$/ })
  .max(publicUrlLengthMax)
  .refine((text) => !/[?#\s]/.test(text), "no query and no fragment")
  .transform((text) => text.replace(/\/+$/, ""));

/** The settings of an edge. */
export const edgeConfig = defineConfig({
  host: {
    env: "PARLEY_EDGE_HOST",
    schema: z.string().min(1),
    default: "127.0.0.1",
    unit: "",
    secret: false,
    description: "The address to listen on; 0.0.0.0 for all of the machine's.",
  },
  port: {
    env: "PARLEY_EDGE_PORT",
    schema: integer(0, 65_535),
    default: "8080",
    unit: "TCP port",
    secret: false,
    description: "The port for WebSocket and HTTP; 0 takes any free one.",
  },
  publicUrl: {
    env: "PARLEY_EDGE_PUBLIC_URL",
    schema: z.union([z.literal(""), publicUrl]),
    default: "",
    unit: "",
    secret: false,
    description:
      'Where clients reach this very edge: "https://edge-1.example.com". Empty: through a balancer, and no client is sent here.',
  },
  region: {
    env: "PARLEY_EDGE_REGION",
    schema: z.string().regex(/^[a-zA-Z0-9_.-]{0,64}$/),
    default: "",
    unit: "",
    secret: false,
    description: "Where the edge is: clients that name the same region are sent here first.",
  },
  origins: {
    env: "PARLEY_EDGE_ORIGINS",
    schema: z
      .string()
      .transform((text) =>
        text
          .split(",")
          .map((origin) => origin.trim())
          .filter((origin) => origin !== ""),
      )
      .refine((origins) => origins.every(isOrigin), "only * and origins like https://chat.example"),
    default: "",
    unit: "",
    secret: false,
    description:
      "The web origins whose pages may connect and call besides the edge's own, separated by commas; * for any, as nothing here rests on cookies.",
  },
  docs: {
    env: "PARLEY_EDGE_DOCS",
    schema: z.enum(["on", "off"]).transform((text) => text === "on"),
    default: "on",
    unit: "",
    secret: false,
    description: "Whether the edge serves the page /docs and /openapi.yaml: on or off.",
  },
  forwardedHops: {
    env: "PARLEY_EDGE_FORWARDED_HOPS",
    schema: integer(0, 10),
    default: "0",
    unit: "proxies",
    secret: false,
    description: "How many trusted proxies in front of the edge append to X-Forwarded-For.",
  },
  connectionsMax: {
    env: "PARLEY_EDGE_CONNECTIONS_MAX",
    schema: integer(1, 1_000_000),
    default: "50000",
    unit: "connections",
    secret: false,
    description:
      "Connections at once, over WebSocket or HTTP; a further one is closed with 1013. Also the capacity by which clients are spread over edges.",
  },
  connectionsPerAddressMax: {
    env: "PARLEY_EDGE_CONNECTIONS_PER_ADDRESS_MAX",
    schema: integer(1, 1_000_000),
    default: "5000",
    unit: "connections",
    secret: false,
    description:
      "The same of one client address; the machine's own (127.0.0.1) may have any number. Behind a proxy see PARLEY_EDGE_FORWARDED_HOPS.",
  },
  httpConnectionsMax: {
    env: "PARLEY_EDGE_HTTP_CONNECTIONS_MAX",
    schema: integer(1, 100_000),
    default: "2000",
    unit: "connections",
    secret: false,
    description: "Connections beyond connectionsMax for HTTP; further ones are dropped.",
  },
  httpCallsMax: {
    env: "PARLEY_EDGE_HTTP_CALLS_MAX",
    schema: integer(1, 100_000),
    default: "1000",
    unit: "calls",
    secret: false,
    description: "HTTP calls under way at once; a further one is answered RESOURCE_EXHAUSTED.",
  },
  httpCallsPerAddressMax: {
    env: "PARLEY_EDGE_HTTP_CALLS_PER_ADDRESS_MAX",
    schema: integer(1, 100_000),
    default: "200",
    unit: "calls",
    secret: false,
    description: "The same of one client address, except the machine's own.",
  },
  headerBytesMax: {
    env: "PARLEY_EDGE_HEADER_BYTES_MAX",
    schema: integer(1_024, 1_048_576),
    default: "16384",
    unit: "bytes",
    secret: false,
    description: "All headers of an HTTP request; more is answered 431.",
  },
  protobufFrameBytesMax: {
    env: "PARLEY_EDGE_PROTOBUF_FRAME_BYTES_MAX",
    schema: integer(1_024, 1_048_576),
    default: "524288",
    unit: "bytes",
    secret: false,
    description: "A client's Protobuf frame; a larger one closes the connection with 1009.",
  },
  jsonFrameBytesMax: {
    env: "PARLEY_EDGE_JSON_FRAME_BYTES_MAX",
    schema: integer(1_024, 3_145_728),
    default: "1572864",
    unit: "bytes",
    secret: false,
    description: "A client's JSON frame, or the body of an HTTP call.",
  },
  helloTimeoutMs: {
    env: "PARLEY_EDGE_HELLO_TIMEOUT_MS",
    schema: integer(1_000, 60_000),
    default: "10000",
    unit: "ms",
    secret: false,
    description: "How long a new connection has until it is signed in.",
  },
  heartbeatIntervalMs: {
    env: "PARLEY_EDGE_HEARTBEAT_INTERVAL_MS",
    schema: integer(500, 60_000),
    default: "5000",
    unit: "ms",
    secret: false,
    description: "How often clients are told to send a heartbeat.",
  },
  silenceMsMax: {
    env: "PARLEY_EDGE_SILENCE_MS_MAX",
    schema: integer(1_000, 300_000),
    default: "30000",
    unit: "ms",
    secret: false,
    description:
      "A connection from which nothing was heard for this long is closed with 4002. At most PARLEY_PRESENCE_GRACE_MS, of which it is a part: it would else delay that a user is offline.",
  },
  callsMax: {
    env: "PARLEY_EDGE_CALLS_MAX",
    schema: integer(1, 1_000),
    default: "32",
    unit: "calls",
    secret: false,
    description: "Unanswered calls of one connection; a further one is RESOURCE_EXHAUSTED.",
  },
  sendsMax: {
    env: "PARLEY_EDGE_SENDS_MAX",
    schema: integer(1, 10_000),
    default: "256",
    unit: "sends",
    secret: false,
    description: "Unanswered sends of one connection; a further one is RESOURCE_EXHAUSTED.",
  },
  bufferSoftBytesMax: {
    env: "PARLEY_EDGE_BUFFER_SOFT_BYTES_MAX",
    schema: integer(16_384, 16_777_216),
    default: "262144",
    unit: "bytes",
    secret: false,
    description: "Bytes that wait for one client before its live delivery pauses.",
  },
  bufferHardBytesMax: {
    env: "PARLEY_EDGE_BUFFER_HARD_BYTES_MAX",
    schema: integer(65_536, 67_108_864),
    default: "1048576",
    unit: "bytes",
    secret: false,
    description: "Bytes that wait for one client before its connection is closed with 4001.",
  },
  laggingMsMax: {
    env: "PARLEY_EDGE_LAGGING_MS_MAX",
    schema: integer(1_000, 300_000),
    default: "30000",
    unit: "ms",
    secret: false,
    description: "How long delivery may stay paused before the connection is closed with 4001.",
  },
  ackIntervalMs: {
    env: "PARLEY_EDGE_ACK_INTERVAL_MS",
    schema: integer(100, 60_000),
    default: "3000",
    unit: "ms",
    secret: false,
    description: "How often the latest acks of devices are written to Message.",
  },
  revocationPollMs: {
    env: "PARLEY_EDGE_REVOCATION_POLL_MS",
    schema: integer(50, 10_000),
    default: "250",
    unit: "ms",
    secret: false,
    description: "How often the stream of ended sign-ins is read.",
  },
  drainMs: {
    env: "PARLEY_EDGE_DRAIN_MS",
    schema: integer(0, 45_000),
    default: "30000",
    unit: "ms",
    secret: false,
    description:
      "Over how long a draining edge closes its connections; a process that ends has a minute.",
  },
  drainSliceMin: {
    env: "PARLEY_EDGE_DRAIN_SLICE_MIN",
    schema: integer(1, 100_000),
    default: "50",
    unit: "connections",
    secret: false,
    description: "A draining edge closes at least so many at once: few make no storm.",
  },
  drainRetryAfterMs: {
    env: "PARLEY_EDGE_DRAIN_RETRY_AFTER_MS",
    schema: integer(0, 600_000),
    default: "2000",
    unit: "ms",
    secret: false,
    description: "Clients of a draining edge come back after a random time up to this.",
  },
});

/** An edge's settings, parsed. */
export type EdgeConfig = ConfigOf<typeof edgeConfig>;
