/**
 * URLs that users give and that a process of ours will call, as a browser's push subscription:
 * none of them may lead to what only we can reach. A name is checked when it is resolved for the
 * connection itself, so that it can't mean one address at the check and another one after it.
 */
import { type LookupAddress, lookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { z } from "zod";
import { defineConfig } from "./config.ts";

/** What may be called all the same. */
export const publicHostsConfig = defineConfig({
  privateHosts: {
    env: "PARLEY_WEB_PUSH_PRIVATE_HOSTS",
    schema: z.string().transform((text) => new Set(text.split(",").map((host) => host.trim()))),
    default: "",
    unit: "",
    secret: false,
    description:
      "Hosts, with port, separated by commas, that Web Push may call although they are not on the public internet.",
  },
});

/** Hosts with port that may be called although they are private: "127.0.0.1:4443". */
export type PrivateHosts = ReadonlySet<string>;

/** A host that is not on the public internet, or that does not exist. */
export class HostNotPublic extends Error {
  override readonly name = "HostNotPublic";
}

/** IANA's special-purpose registries, and multicast. */
const specialSubnets = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"],
  ...["172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"],
  ...["198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"],
];
/** Of IPv6, what is in 2000::/3 and not in these. */
const specialSubnets6 = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];

const special = subnets(specialSubnets, "ipv4");
const special6 = subnets(specialSubnets6, "ipv6");
const global6 = subnets(["2000::/3"], "ipv6");

/** Whether an IP address is anybody's to reach. */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 4) return !special.check(address, "ipv4");
  return global6.check(address, "ipv6") && !special6.check(address, "ipv6");
}

/**
 * Refuses what is private by its spelling: addresses, and names of one label. What a name stands
 * for is seen by {@link publicLookup}.
 * @throws HostNotPublic
 */
export function checkPublicHost(url: URL, privateHosts: PrivateHosts): void {
  if (privateHosts.has(url.host)) return;
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const isPublic = isIP(host) ? isPublicAddress(host) : /[^.]\.[^.]/.test(host);
  if (!isPublic) throw new HostNotPublic(`${url.host} is not on the public internet`);
}

/** How a connection to the URL's host resolves it: a private address ends it with {@link HostNotPublic}. */
export function publicLookup(url: URL, privateHosts: PrivateHosts): LookupFunction {
  return (hostname, options, done) => {
    lookup(hostname, { ...options, all: true }, (error, found: LookupAddress[]) => {
      if (error) return done(error, []);
      const isPrivate = !found.every(({ address }) => isPublicAddress(address));
      if (isPrivate && !privateHosts.has(url.host)) {
        return done(new HostNotPublic(`${url.host} is not on the public internet`), []);
      }
      if (options.all) done(null, found);
      else done(null, found[0]!.address, found[0]!.family);
    });
  };
}

function subnets(texts: readonly string[], family: "ipv4" | "ipv6"): BlockList {
  const list = new BlockList();
  for (const text of texts) {
    const [network, prefix] = text.split("/");
    list.addSubnet(network!, Number(prefix), family);
  }
  return list;
}
