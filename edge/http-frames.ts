/**
 * `POST /v1/frames`: what a device wants while its event stream or poll is open. Each post stands
 * by itself and may come to any edge: a send is known by its client id, an ack goes to Message. Only
 * what is about the connection itself needs it, and names it in a header.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type ClientFrame, ClientFramesSchema } from "../gen/parley/edge/v1/frame_pb.js";
import type { AccessToken } from "../mesh/access-token.ts";
import { Code, fieldInvalid, RpcError } from "../mesh/errors.ts";
import type { Connection } from "./connection.ts";
import type { EdgeContext } from "./edge-context.ts";
import type { ServerFrameContent } from "./frame-codec.ts";
import { jsonFrames } from "./frames-json.ts";
import type { CheckLoad } from "./http-api.ts";
import { answerProblem, toProblem } from "./http-problem.ts";
import { bearerToken, readJson } from "./http-request.ts";
import type { HttpTurns } from "./http-turns.ts";
import { connectionHeader } from "./other-edges.ts";
import { Requests, type RequestsOwner } from "./requests.ts";
import type { Flushable } from "./turn-flush.ts";

/** Frames of one post; also the greatest number of sends that a connection may have unanswered. */
const framesMax = 256;

/** Answers posts of frames. */
export class HttpFrames {
  private readonly edge: EdgeContext;
  private readonly turns: HttpTurns;
  private readonly checkLoad: CheckLoad;

  constructor(edge: EdgeContext, turns: HttpTurns, checkLoad: CheckLoad) {
    this.edge = edge;
    this.turns = turns;
    this.checkLoad = checkLoad;
  }

  /** Answers one post; never rejects. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { addresses, config, verifier } = this.edge;
    try {
      const address = addresses.of(request);
      this.checkLoad(address);
      const token = await verifier.verify(bearerToken(request.headers.authorization));
      const body = await readJson(request, ClientFramesSchema, config.jsonFrameBytesMax);
      const frames = body?.frames ?? [];
      if (frames.length > framesMax) {
        throw fieldInvalid("frames", `${frames.length} frames; the limit is ${framesMax}`);
      }
      const connection = this.turns.find(String(request.headers[connectionHeader]), token);
      const post = new FramesPost(this.edge, { address, response, token, connection });
      for (const { frame } of frames) post.take(frame);
      post.end();
    } catch (error) {
      answerProblem(response, toProblem(error));
    }
  }
}

/** What a post consists of. */
interface Post {
  /** The client's. */
  address: string;
  response: ServerResponse;
  token: AccessToken;
  /** The device's stream or poll, if the post names it and it is here. */
  connection: Connection | undefined;
}

/** One post: answers are written as they come, a line each. */
class FramesPost implements RequestsOwner, Flushable {
  readonly clientAddress: string;
  readonly transport = "frames";
  readonly format = jsonFrames.format;
  private readonly edge: EdgeContext;
  private readonly response: ServerResponse;
  private readonly connection: Connection | undefined;
  private readonly requests: Requests;
  private answers: string[] = [];
  private unanswered = 0;
  private isTaken = false;

  constructor(edge: EdgeContext, { address, response, token, connection }: Post) {
    this.edge = edge;
    this.response = response;
    this.connection = connection;
    this.clientAddress = address;
    this.requests = new Requests(edge, this, token);
  }

  get isClosed(): boolean {
    return this.response.writableEnded || this.response.destroyed;
  }

  /** @throws DomainError FIELD_INVALID for a frame that does not belong here */
  take(frame: ClientFrame["frame"]): void {
    if (frame.case === "call" || frame.case === "send") this.unanswered++;
    this.edge.metrics.framesReceived.inc();
    if (frame.case === "call") void this.requests.call(frame.value);
    else if (frame.case === "send") this.requests.send(frame.value);
    // Which of its entries the device was given is known only where it was given them.
    else if (frame.case === "ack") this.requests.ack(frame.value, Number.MAX_SAFE_INTEGER);
    else if (frame.case === "heartbeat") this.write({ case: "heartbeatResult", value: {} });
    else if (frame.case === "followChannels") this.toConnection(frame);
    else throw fieldInvalid("frames", `${frame.case ?? "an unknown frame"} can't be posted`);
  }

  /** Nothing more is taken: the response ends with the last answer. */
  end(): void {
    this.isTaken = true;
    this.edge.turnFlush.add(this);
  }

  send(content: ServerFrameContent): void {
    this.unanswered--;
    this.write(content);
  }

  flush(): void {
    const { response, answers } = this;
    if (this.isClosed) return;
    if (response.writableLength > this.edge.config.bufferHardBytesMax) {
      response.destroy();
      return;
    }
    if (!response.headersSent) response.writeHead(200, { "content-type": "application/x-ndjson" });
    if (answers.length > 0) response.write(answers.join(""));
    this.answers = [];
    if (this.isTaken && this.unanswered === 0) response.end();
  }

  /** A post is read as a whole before anything of it is done. */
  pauseReading(): void {}
  resumeReading(): void {}

  /** The end of the sign-in reaches the device's connection, wherever that is. */
  onLoggedOut(): void {}

  /** What is about the connection itself is answered there. */
  private toConnection(frame: ClientFrame["frame"]): void {
    if (this.connection) this.connection.receiveFrame(frame);
    else throw new RpcError(Code.NOT_FOUND, "CONNECTION_UNKNOWN", "the connection is not here");
  }

  private write(content: ServerFrameContent): void {
    if (this.answers.length === 0) this.edge.turnFlush.add(this);
    this.answers.push(`${jsonFrames.encode(content)}\n`);
  }
}
