/**
 * Event streams and polls: the connections of devices whose way lets no WebSocket through. Each
 * request is a turn; `Last-Event-ID` says where the one before ended. Where that connection lives
 * on this edge and nothing of it was lost, the turn goes on with it. Anything else begins a new
 * connection from the device's position in its inbox, so that a turn may come to any edge.
 */
import type { IncomingMessage } from "node:http";
import { create } from "@bufbuild/protobuf";
import { ClientFrameSchema, type Hello, HelloSchema } from "../gen/parley/edge/v1/frame_pb.js";
import type { AccessToken } from "../mesh/access-token.ts";
import { DomainError, fieldInvalid } from "../mesh/errors.ts";
import { CloseCode, helloCloseCodes } from "./close-codes.ts";
import type { Connection } from "./connection.ts";
import type { Connections } from "./connections.ts";
import { checkOrigin } from "./cors.ts";
import type { EdgeContext } from "./edge-context.ts";
import { type EventId, readEventId } from "./event-id.ts";
import { jsonFrames } from "./frames-json.ts";
import { answerProblem, HttpRefused, toProblem } from "./http-problem.ts";
import { bearerToken, readJson } from "./http-request.ts";
import { HttpSocket } from "./http-socket.ts";
import type { Turn } from "./turns.ts";

/** A Hello is a token and three numbers. */
const helloBytesMax = 64 * 1024;

/** The connections over HTTP of an edge. */
export class HttpTurns {
  private readonly edge: EdgeContext;
  private readonly connections: Connections;
  private readonly sockets = new Map<string, HttpSocket>();

  constructor(edge: EdgeContext, connections: Connections) {
    this.edge = edge;
    this.connections = connections;
  }

  /** Answers one turn; never rejects. */
  async answer(request: IncomingMessage, turn: Turn): Promise<void> {
    const { response } = turn;
    try {
      checkOrigin(request, this.edge.config.origins);
      const accessToken = bearerToken(request.headers.authorization);
      const lastEventId = request.headers["last-event-id"];
      const eventId = lastEventId ? readEventId(String(lastEventId)) : undefined;
      const hello = await readHello(request);
      const socket =
        eventId && (await this.resume(eventId, accessToken || hello?.accessToken || ""));
      if (response.destroyed) return;
      if (socket) {
        socket.connection.hear();
        socket.begin(turn);
      } else {
        const address = this.edge.addresses.of(request);
        const refusal = this.connections.refusal(address);
        if (refusal) return turn.close(refusal);
        const from = hello ?? helloAt(eventId);
        if (accessToken) from.accessToken = accessToken;
        this.start(turn, address, from);
      }
    } catch (error) {
      this.refuse(turn, error);
    }
  }

  /** The connection of this id, where it is the device's and lives here. */
  find(connectionId: string, { deviceId }: AccessToken): Connection | undefined {
    const connection = this.sockets.get(connectionId)?.connection;
    return connection?.token?.deviceId === deviceId ? connection : undefined;
  }

  /** The socket that goes on from here. @throws DomainError for a bad token */
  private async resume(eventId: EventId, accessToken: string): Promise<HttpSocket | undefined> {
    if (!this.sockets.has(eventId.connectionId)) return undefined;
    const token = await this.edge.verifier.verify(accessToken);
    const isHere = this.find(eventId.connectionId, token) !== undefined;
    const socket = isHere ? this.sockets.get(eventId.connectionId) : undefined;
    return socket?.framesWritten === eventId.frames ? socket : undefined;
  }

  private start(turn: Turn, address: string, hello: Hello): void {
    const socket = new HttpSocket(this.edge, ({ connection }) => this.forget(connection));
    const connection = this.connections.add(socket, jsonFrames, address);
    socket.connection = connection;
    this.sockets.set(connection.id, socket);
    socket.begin(turn);
    connection.receiveFrame({ case: "hello", value: hello });
  }

  private forget(connection: Connection): void {
    this.sockets.delete(connection.id);
    this.connections.remove(connection);
  }

  private refuse(turn: Turn, error: unknown): void {
    const { log, metrics } = this.edge;
    if (error instanceof HttpRefused) {
      metrics.refused.inc({ status: error.status });
      answerProblem(turn.response, toProblem(error));
      return;
    }
    const code = error instanceof DomainError ? helloCloseCodes[error.reason] : undefined;
    if (code === undefined) log.error({ event: "turn_failed", err: error });
    const reason = code === undefined ? "internal error" : (error as DomainError).message;
    turn.close({ code: code ?? CloseCode.INTERNAL_ERROR, reason });
  }
}

async function readHello(request: IncomingMessage): Promise<Hello | undefined> {
  const body = await readJson(request, ClientFrameSchema, helloBytesMax);
  if (body === undefined) return undefined;
  if (body.frame.case === "hello") return body.frame.value;
  throw fieldInvalid("body", "is neither a hello nor empty");
}

/** Where nothing better is known than what the device was told last. */
function helloAt(eventId: EventId | undefined): Hello {
  if (!eventId) return create(HelloSchema);
  const { epoch, sequence } = eventId;
  return create(HelloSchema, { inboxEpoch: epoch, inboxSequence: BigInt(sequence) });
}
