import { isIPv6 } from "node:net";

/**
 * What limits by address count as one client: an IPv4 address; of IPv6 the /64, as that is what a
 * household or a machine is given (RFC 6177), to take any address of. Other texts are left as is.
 */
export function clientNetwork(address: string): string {
  const [bare = ""] = address.split("%", 1);
  if (!isIPv6(bare)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare);
  if (mapped) return mapped[1]!;
  const [head = "", tail] = bare.replace(/\d+\.\d+\.\d+\.\d+$/, "0:0").split("::", 2);
  const groups = head === "" ? [] : head.split(":");
  const after = tail ? tail.split(":") : [];
  while (tail !== undefined && groups.length + after.length < 8) groups.push("0");
  const network = [...groups, ...after].slice(0, 4);
  return `${network.map((group) => Number.parseInt(group, 16).toString(16)).join(":")}::/64`;
}
