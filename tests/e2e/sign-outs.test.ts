/** Sign-ins that end at one edge, and what becomes of them at the others. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { CloseCode } from "../../edge/close-codes.ts";
import {
  createClient,
  createHttpTransport,
  errorReason,
  logIn,
  MessageService,
  SessionService,
  type SignIn,
} from "../../edge/sdk/index.ts";
import { openParley, type ParleyUnderTest } from "../parley-under-test.ts";
import { Device, newAccount, newDevices, password } from "./device.ts";
import { RawClient } from "./raw-client.ts";

// A whole server takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let parley: ParleyUnderTest;
let firstUrl: string;
/** Another edge's, where there are two. */
let otherUrl: string;
beforeAll(async () => {
  parley = await openParley();
  firstUrl = parley.urls[0]!;
  otherUrl = parley.urls.at(-1)!;
});
afterAll(() => parley.stop());

function session({ accessToken }: SignIn) {
  const transport = createHttpTransport({ url: otherUrl, accessToken: async () => accessToken });
  return createClient(SessionService, transport);
}

/** Its token opens no connection, at any edge. */
async function isRefused({ accessToken }: SignIn): Promise<void> {
  for (const url of parley.urls) {
    const socket = await RawClient.open(url);
    socket.send({ hello: { accessToken } });
    expect(await socket.closed).toMatchObject({ code: CloseCode.TOKEN_REVOKED });
  }
}

/** Two devices of an account; both are connected to the first edge. */
async function twoDevices() {
  const phone = await newAccount(firstUrl, "ann");
  const laptop = await logIn({ url: otherUrl, login: phone.username, password });
  const [phoneSocket, laptopSocket] = await Promise.all([
    RawClient.signIn(firstUrl, phone.accessToken),
    RawClient.signIn(firstUrl, laptop.accessToken),
  ]);
  return { phone, laptop, phoneSocket, laptopSocket };
}

describe("a sign-in that ends", () => {
  it("[A3] by a revocation at one edge loses its connection at the other, and opens none", async () => {
    const { phone, laptop, phoneSocket, laptopSocket } = await twoDevices();
    const startMs = performance.now();
    await session(laptop).revokeDevice({ deviceId: phone.deviceId });
    const answeredMs = performance.now();
    expect(await phoneSocket.closed).toMatchObject({ code: CloseCode.TOKEN_REVOKED });
    const [call, close] = [answeredMs, performance.now()].map((ms) => Math.round(ms - startMs));
    console.log(`revoked: answered after ${call} ms, closed at the other edge after ${close} ms`);
    await isRefused(phone);
    await expect(session(phone).getProfile({})).rejects.toSatisfy(
      (error) => errorReason(error) === "TOKEN_REVOKED",
    );
    expect((await session(laptop).listDevices({})).devices).toHaveLength(1);
    laptopSocket.ws.close();
  });

  it("[A1] by a change of the password is every other device's", async () => {
    const { phone, laptop, phoneSocket, laptopSocket } = await twoDevices();
    const newPassword = "another password";
    await session(laptop).changePassword({ oldPassword: password, newPassword });
    expect(await phoneSocket.closed).toMatchObject({ code: CloseCode.TOKEN_REVOKED });
    await isRefused(phone);
    expect((await session(laptop).listDevices({})).devices).toMatchObject([{ current: true }]);
    await logIn({ url: firstUrl, login: phone.username, password: newPassword });
    laptopSocket.ws.close();
  });

  it("[A1] with its account is every device's; what the user said stays, under an id of nobody", async () => {
    const [ben] = (await newDevices(parley.nextUrl, "ben")) as [Device];
    const { phone, laptop, phoneSocket, laptopSocket } = await twoDevices();
    const ann = await Device.connect(
      otherUrl,
      await logIn({ url: otherUrl, login: phone.username, password }),
    );
    const channelId = await ann.openDirect(ben);
    const messageId = await ann.say(channelId, "remember me");
    await ben.hears(channelId, "remember me");
    await session(laptop).deleteAccount({ password });
    for (const { closed } of [phoneSocket, laptopSocket]) {
      expect(await closed).toMatchObject({ code: CloseCode.TOKEN_REVOKED });
    }
    await isRefused(phone);
    await isRefused(laptop);
    await expect.poll(() => ann.client.state.status, { timeout: 15_000 }).toBe("signedOut");
    const { messages } = await ben.http(MessageService).listMessages({ channelId });
    expect(messages.find((message) => message.messageId === messageId)).toMatchObject({
      senderId: phone.userId,
      body: { value: "remember me" },
    });
    expect((await ben.http(SessionService).listUsers({ userIds: [phone.userId] })).users).toEqual(
      [],
    );
    const { members } = await ben.http(MessageService).listMembers({ channelId });
    expect(members.map(({ userId }) => userId)).toContain(phone.userId);
    await ben.client.close();
  });
});
