/** Stands between a client and a server in tests, and breaks what is between them. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Passes connections on to a server. */
export class TcpProxy {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private readonly target: { host: string; port: number };
  private isOpen = true;
  private isMute = false;

  /** Starts one before "host:port". */
  static async start(address: string): Promise<TcpProxy> {
    const { hostname: host, port } = new URL(`tcp://${address}`);
    const proxy = new TcpProxy({ host, port: Number(port) });
    await new Promise<void>((resolve) => proxy.server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  private constructor(target: { host: string; port: number }) {
    this.target = target;
    this.server = createServer((client) => this.accept(client));
  }

  /** "127.0.0.1:12345" */
  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Breaks all connections, and every new one. */
  cut(): void {
    this.isOpen = false;
    for (const socket of this.sockets) socket.destroy();
  }

  /** Lets connections through again. */
  restore(): void {
    this.isOpen = true;
    this.isMute = false;
  }

  /** What the server says from now on is lost; what is said to it arrives. */
  mute(): void {
    this.isMute = true;
  }

  /** Ends it. */
  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private accept(client: Socket): void {
    if (!this.isOpen) {
      client.destroy();
      return;
    }
    const server = connect(this.target);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.sockets.add(from);
      from.on("data", (data) => {
        if (!(this.isMute && from === server)) to.write(data);
      });
      from.on("error", () => {});
      from.on("close", () => {
        this.sockets.delete(from);
        to.destroy();
      });
    }
  }
}
