import { describe, expect, it } from "vitest";
import { checkPublicHost, HostNotPublic, isPublicAddress, publicLookup } from "./public-hosts.ts";

const none = new Set<string>();

describe("public hosts", () => {
  const publicAddresses = ["8.8.8.8", "17.188.138.1", "172.15.0.1", "2606:4700::1111"];
  it.each(publicAddresses)("[N1] %s is anybody's to reach", (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  const privateAddresses = [
    ...["0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.255.255"],
    ...["192.168.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1"],
    ...["fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1"],
    ...["2001:db8::1", "2002:7f00:1::"],
  ];
  it.each(privateAddresses)("[N1] %s is not", (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  const privateUrls = [
    ...["https://127.0.0.1/", "https://127.1/", "https://0x7f000001/", "https://2130706433/"],
    ...["https://127.0.0.1./", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://consul/"],
    ...["https://localhost:8500/", "https://localhost./", "https://169.254.169.254/latest"],
  ];
  it.each(privateUrls)("[N1] %s is refused as it is spelled", (url) => {
    expect(() => checkPublicHost(new URL(url), none)).toThrow(HostNotPublic);
  });

  it("[N1] names pass until they are resolved, and so do hosts that settings name", () => {
    checkPublicHost(new URL("https://fcm.googleapis.com/wp/token"), none);
    checkPublicHost(new URL("https://[2606:4700::1111]/"), none);
    checkPublicHost(new URL("https://127.0.0.1:4443/x"), new Set(["127.0.0.1:4443"]));
    expect(() =>
      checkPublicHost(new URL("https://127.0.0.1:8500/x"), new Set(["127.0.0.1:4443"])),
    ).toThrow(HostNotPublic);
  });

  const resolve = (url: URL, hosts: ReadonlySet<string>, all: boolean) =>
    new Promise((resolve, reject) => {
      publicLookup(url, hosts)(url.hostname, { all }, (error, address) =>
        error ? reject(error) : resolve(address),
      );
    });

  it("[N1] a name that stands for a private address ends the connection", async () => {
    const url = new URL("https://localhost:4443/");
    for (const all of [true, false]) {
      await expect(resolve(url, none, all)).rejects.toThrow(HostNotPublic);
    }
    const named = new Set(["localhost:4443"]);
    expect(await resolve(url, named, false)).toMatch(/^(127\.0\.0\.1|::1)$/);
    expect(await resolve(url, named, true)).toContainEqual(
      expect.objectContaining({ address: expect.stringMatching(/^(127\.0\.0\.1|::1)$/) }),
    );
  });
});
