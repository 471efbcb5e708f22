/** The HTTP proxies that stand between people and servers, as far as they are a nuisance. */
import { once } from "node:events";
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

/** What a proxy does besides passing requests on. None lets a WebSocket through. */
export interface HttpProxyOptions {
  /** Where requests go, each to the next in turn. */
  targets: readonly string[];
  /** Holds every response back until it is whole. */
  buffers?: boolean;
}

/** One proxy. */
export class HttpProxy implements AsyncDisposable {
  /** The paths that were asked for, in order; "upgrade /ws" for a WebSocket. */
  readonly asked: string[] = [];
  private readonly options: HttpProxyOptions;
  private readonly server: Server;
  private turn = 0;

  /** Starts one on a free port. */
  static async start(options: HttpProxyOptions): Promise<HttpProxy> {
    const proxy = new HttpProxy(options);
    proxy.server.listen(0, "127.0.0.1");
    await once(proxy.server, "listening");
    return proxy;
  }

  private constructor(options: HttpProxyOptions) {
    this.options = options;
    this.server = createServer((request, response) => this.pass(request, response));
    this.server.on("upgrade", ({ url }, socket) => {
      this.asked.push(`upgrade ${url}`);
      socket.on("error", () => {});
      socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }

  private pass(request: IncomingMessage, response: ServerResponse): void {
    const { method, url, headers } = request;
    const { targets, buffers } = this.options;
    this.asked.push(url!);
    const target = targets[this.turn++ % targets.length]!;
    const passed = httpRequest(target + url, { method: method!, headers }, (answer) => {
      if (!buffers) {
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
        return;
      }
      const chunks: Buffer[] = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => {
        response.writeHead(answer.statusCode!, answer.headers);
        response.end(Buffer.concat(chunks));
      });
    });
    passed.on("error", () => response.destroy());
    response.on("close", () => passed.destroy());
    request.pipe(passed);
  }
}
