/** Stands between clients and a server in tests, and breaks what is between them. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** A listener on loopback that passes on, byte by byte, to one server and back. */
export class TcpProxy {
  /** "127.0.0.1:12345": where to connect to instead. */
  readonly address: string;
  private readonly listener: Server;
  private readonly target: { host: string; port: number };
  private readonly clients = new Set<Socket>();
  private readonly servers = new Set<Socket>();
  private state: "open" | "cut" | "hung" | "mute" = "open";

  /** Starts one before the server at "host:port". */
  static async start(address: string): Promise<TcpProxy> {
    const listener = createServer().listen(0, "127.0.0.1");
    await once(listener, "listening");
    return new TcpProxy(listener, address);
  }

  private constructor(listener: Server, target: string) {
    const { hostname: host, port } = new URL(`tcp://${target}`);
    this.target = { host, port: Number(port) };
    this.listener = listener;
    this.address = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
    listener.on("connection", (client) => this.accept(client));
  }

  /** Breaks all connections, and new ones as soon as they are made. */
  cut(): void {
    this.state = "cut";
    this.breakAll();
  }

  /** Passes nothing on any more, on old connections and new ones, as a stopped process does. */
  hang(): void {
    this.state = "hung";
    for (const socket of [...this.clients, ...this.servers]) socket.unpipe().pause();
  }

  /** What the server says from now on is lost; what is said to it arrives. */
  mute(): void {
    this.state = "mute";
    for (const server of this.servers) server.unpipe().resume();
  }

  /** New connections work; the old ones, of which something may be lost, are broken. */
  restore(): void {
    this.breakAll();
    this.state = "open";
  }

  /** Breaks everything and stops listening. */
  async stop(): Promise<void> {
    this.cut();
    this.listener.close();
    await once(this.listener, "close");
  }

  private breakAll(): void {
    for (const socket of [...this.clients, ...this.servers]) socket.destroy();
  }

  private accept(client: Socket): void {
    keep(client, this.clients);
    if (this.state === "cut") client.destroy();
    if (this.state === "cut" || this.state === "hung") return;
    const server = connect(this.target);
    keep(server, this.servers);
    client.pipe(server);
    if (this.state === "mute") server.resume();
    else server.pipe(client);
    client.on("close", () => server.destroy());
    server.on("close", () => client.destroy());
  }
}

function keep(socket: Socket, sockets: Set<Socket>): void {
  sockets.add(socket);
  socket.on("close", () => sockets.delete(socket));
  socket.on("error", () => {});
}
