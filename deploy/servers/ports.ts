import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createConnection, createServer } from "node:net";

/**
 * Ports that are given: above the usual ones of servers, below those that Linux (from 32,768) and
 * others give to connections and to who asks for any. So none is taken before its server starts,
 * nor while that is away.
 */
const portMin = 10_240;
const portMax = 32_767;
/** Most of them are free; where not one of so many is, something else is wrong. */
const triesMax = 100;

const given = new Set<number>();

/** Ports that nobody listens on now, and that were not given before in this process. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count; tries++) {
    if (tries === count + triesMax) throw new Error(`no free port in ${portMin}-${portMax}`);
    const port = randomInt(portMin, portMax + 1);
    if (given.has(port) || !(await canListen(port))) continue;
    given.add(port);
    ports.push(port);
  }
  return ports;
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, "127.0.0.1"), "listening");
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** Whether somebody accepts connections there. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    const answer = (listens: boolean) => {
      socket.destroy();
      resolve(listens);
    };
    socket.once("connect", () => answer(true));
    socket.once("error", () => answer(false));
  });
}
