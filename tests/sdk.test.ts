/** The SDK and the edge, where they have to agree. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CloseCode } from "../edge/close-codes.ts";
import { type AfterClose, afterClose } from "../edge/sdk/close-codes.ts";
import {
  createClient,
  errorReason,
  MessageService,
  memoryTokenStore,
  ParleyClient,
  SessionService,
  signUp,
} from "../edge/sdk/index.ts";
import { newUsername } from "./e2e/device.ts";
import { openParley, type ParleyUnderTest } from "./parley-under-test.ts";

describe("close codes", () => {
  it("the SDK does about each what the edge's table says", () => {
    const answers = Object.entries(CloseCode).map(([name, code]) => [name, afterClose(code)]);
    const expected: Record<keyof typeof CloseCode, AfterClose> = {
      SERVICE_RESTART: "reconnectWithin",
      TRY_AGAIN_LATER: "reconnect",
      MESSAGE_TOO_BIG: "reconnect",
      INTERNAL_ERROR: "reconnect",
      SLOW_CONSUMER: "reconnect",
      HEARTBEAT_TIMEOUT: "reconnect",
      HELLO_TIMEOUT: "reconnect",
      UNAVAILABLE: "reconnect",
      TOKEN_EXPIRED: "refreshTokens",
      BAD_FRAME: "stop",
      UNEXPECTED_FRAME: "stop",
      TOKEN_INVALID: "signOut",
      TOKEN_REVOKED: "signOut",
      LOGGED_OUT: "signOut",
      REPLACED: "stop",
    };
    expect(Object.fromEntries(answers)).toEqual(expected);
  });
});

describe("the SDK over a real edge", () => {
  let server: ParleyUnderTest;

  beforeAll(async () => {
    server = await openParley();
  });

  afterAll(async () => {
    await server?.stop();
  });

  async function open(format: "protobuf" | "json"): Promise<ParleyClient> {
    const url = server.nextUrl();
    const signIn = await signUp({ url, username: newUsername("user"), password: "correct horse" });
    return ParleyClient.open({ url, format, tokens: memoryTokenStore(signIn) });
  }

  it.each(["protobuf", "json"] as const)(
    "[T1] [M2] sends and hears in %s frames",
    async (format) => {
      const client = await open(format);
      const other = await open(format);
      const heard = new Promise((resolve) => {
        other.on("message", ({ body }) => body.case === "text" && resolve(body.value));
      });
      await Promise.all([client.connect(), other.connect()]);
      const messages = createClient(MessageService, client.transport);
      const { channel } = await messages.createDirectChannel({ userId: other.owner.userId });
      const longest = `"\\\u0001${"😀".repeat(99_996)}`;
      await client.send(channel!.channelId, longest).result;
      expect(await heard).toBe(longest);
      await Promise.all([client.close(), other.close()]);
    },
  );

  it("tells why a call is refused, in either format", async () => {
    for (const format of ["protobuf", "json"] as const) {
      const client = await open(format);
      await client.connect();
      const error = await client.history("g-aaaaaaaaaaaaaaaaaaaa").catch((error: unknown) => error);
      expect(errorReason(error)).toBe("NOT_A_MEMBER");
      await client.close();
    }
  });

  it("[A1] is signed out when the device logs out", async () => {
    const client = await open("protobuf");
    await client.connect();
    const over = new Promise<void>((resolve) => {
      client.on("state", ({ status }) => status === "signedOut" && resolve());
    });
    await createClient(SessionService, client.transport)
      .logOut({})
      .catch(() => {});
    await over;
    await expect(client.connect()).rejects.toThrow();
  });
});
