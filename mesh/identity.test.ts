import { describe, expect, it } from "vitest";
import { signCall, verifyCall } from "./identity.ts";

const path = "/parley.message.v1.MessageService/SendMessage";
const alice = { userId: "alice", deviceId: "phone" };

describe("signed calls", () => {
  it("tell on whose behalf, or that it is the mesh's own", () => {
    expect(verifyCall("s", path, signCall("s", path, alice, 1_000), 2_000)).toEqual(alice);
    expect(verifyCall("s", path, signCall("s", path, undefined, 1_000), 2_000)).toBeUndefined();
  });

  it("are refused with another secret, method, user or age, or when they are none", () => {
    const line = signCall("s", path, alice, 1_000);
    expect(verifyCall("t", path, line, 2_000)).toBe("refused");
    expect(verifyCall("s", `${path}s`, line, 2_000)).toBe("refused");
    expect(verifyCall("s", path, line.replace("alice", "mallory"), 2_000)).toBe("refused");
    expect(verifyCall("s", path, line, 62_000)).toBe("refused");
    for (const text of ["", ".", "...", "a.b.c.d"]) {
      expect(verifyCall("s", path, text, 0)).toBe("refused");
    }
  });
});
