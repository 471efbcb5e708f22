/** A way to a server that can be cut and hung up, for tests of what is done without the server. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** A listener on loopback that passes on, byte by byte, to one server and back. */
export class FaultyWay {
  private readonly target: { host: string; port: number };
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private state: "open" | "cut" | "hung" = "open";
  private port = 0;

  /** @param address of the server: "127.0.0.1:5432". */
  static async to(address: string): Promise<FaultyWay> {
    const way = new FaultyWay(address);
    way.server.listen(0, "127.0.0.1");
    await once(way.server, "listening");
    way.port = (way.server.address() as AddressInfo).port;
    return way;
  }

  private constructor(address: string) {
    const { hostname, port } = new URL(`tcp://${address}`);
    this.target = { host: hostname, port: Number(port) };
    this.server = createServer((socket) => this.accept(socket));
  }

  /** "127.0.0.1:port": where to connect to instead. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Breaks all connections, and new ones as soon as they are made. */
  cut(): void {
    this.state = "cut";
    for (const socket of this.sockets) socket.destroy();
  }

  /** Passes nothing on any more, on old connections and new ones, as a stopped process does. */
  hang(): void {
    this.state = "hung";
    for (const socket of this.sockets) socket.unpipe().pause();
  }

  /** New connections work. What was under way is broken. */
  restore(): void {
    for (const socket of this.sockets) socket.destroy();
    this.state = "open";
  }

  /** Breaks everything and stops listening. */
  async close(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, "close");
  }

  private accept(socket: Socket): void {
    this.keep(socket);
    if (this.state === "cut") socket.destroy();
    if (this.state !== "open") return;
    const onward = connect(this.target);
    this.keep(onward);
    socket.pipe(onward).pipe(socket);
    socket.on("close", () => onward.destroy());
    onward.on("close", () => socket.destroy());
  }

  private keep(socket: Socket): void {
    this.sockets.add(socket);
    socket.on("close", () => this.sockets.delete(socket));
    socket.on("error", () => {});
  }
}
