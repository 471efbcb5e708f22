import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestSession } from "./test-session.ts";

const password = "correct horse";

describe("credentials", () => {
  let session: TestSession;

  beforeAll(async () => {
    session = await TestSession.open();
  });
  afterAll(() => session.close());

  describe("LogIn", () => {
    it("[A1] takes the name or the address, in any case", async () => {
      const { userId } = await session.signUp({ username: "Anna", email: "Anna@Bücher.example" });
      for (const login of ["anna", "ANNA", "anna@bücher.example", "ANNA@BÜCHER.EXAMPLE"]) {
        const { user, deviceId } = await session.as().logIn({ login, password, deviceName: login });
        expect(user, login).toMatchObject({ userId, username: "Anna" });
        const { devices } = await session.as({ userId, deviceId }).listDevices({});
        expect(devices.find((device) => device.current)).toMatchObject({ deviceId, name: login });
      }
    });

    it("[A1] a wrong password, an unknown name and what is no name look the same", async () => {
      const { user } = await session.signUp();
      const wrong = [
        { login: user!.username, password: "wrong password" },
        { login: "nobody", password },
        { login: "nobody@example.org", password },
        { login: "", password },
        { login: "nul\0", password },
        { login: "nul\0@example.org", password },
        { login: "x".repeat(100_000), password },
        { login: user!.username, password: "" },
        { login: user!.username, password: "x".repeat(100_000) },
      ];
      const answers = await Promise.allSettled(wrong.map((request) => session.as().logIn(request)));
      for (const answer of answers) {
        expect(answer).toMatchObject({
          reason: { reason: "CREDENTIALS_WRONG", message: "unknown name or wrong password" },
        });
      }
    });

    it("[A1] a password is the same however its accents were typed", async () => {
      const { user } = await session.signUp({ password: "Gru\u0308\u00dfe an alle" });
      await session.as().logIn({ login: user!.username, password: "Gr\u00fc\u00dfe an alle" });
    });

    it("[O3] who gave an account too many wrong passwords waits, and right ones don't count", async () => {
      await session.restart({ PARLEY_SESSION_WRONG_PASSWORDS_PER_ADDRESS_AND_ACCOUNT_MAX: "3" });
      const { user } = await session.signUp();
      const login = user!.username;
      const wrong = () => session.as().logIn({ login, password: "wrong password" });
      for (let i = 0; i < 5; i++) await session.as().logIn({ login, password });
      for (let i = 0; i < 3; i++) await expect(wrong()).rejects.toThrow("wrong password");
      const refused = { reason: "TOO_MANY_ATTEMPTS", details: { retryAfterMs: 200_000 } };
      await expect(wrong()).rejects.toMatchObject(refused);
      const upper = { login: login.toUpperCase(), password };
      await expect(session.as().logIn(upper)).rejects.toMatchObject(refused);
      await expect(session.as().logIn({ login: "unknown", password })).rejects.toThrow("unknown");

      session.clock.advance(200_000);
      await session.as().logIn({ login, password });
      await session.restart();
    });

    it("[O3] a stranger who guesses from one network keeps nobody else out", async () => {
      const { login, from } = await ownerAt("198.51.100.1");
      for (let i = 0; i < 10; i++) {
        await expect(from("2001:db8::7").logIn({ login, password: "guess" })).rejects.toThrow();
      }
      const refused = { reason: "TOO_MANY_ATTEMPTS", details: { retryAfterMs: 60_000 } };
      const again = from("2001:db8::8").logIn({ login, password });
      await expect(again).rejects.toMatchObject(refused);
      for (const anywhere of ["198.51.100.1", "203.0.113.5"]) {
        await from(anywhere).logIn({ login, password });
      }
    });

    it("[O3] guesses from many networks are limited, and keep nobody out where the account has a device", async () => {
      const { login, from } = await ownerAt("198.51.100.1");
      const guess = { login, password: "guess" };
      for (let i = 0; i < 100; i++) {
        await expect(from(`192.0.2.${i}`).logIn(guess)).rejects.toThrow("wrong password");
      }
      const refused = { reason: "TOO_MANY_ATTEMPTS" };
      await expect(from("192.0.2.200").logIn(guess)).rejects.toMatchObject(refused);
      for (let i = 0; i < 20; i++) await from("198.51.100.1").logIn({ login, password });
      await expect(from("198.51.100.1").logIn(guess)).rejects.toThrow("wrong password");
    });

    it("[O3] a device that is refreshed elsewhere is at home there, and no longer where it was", async () => {
      await session.restart({ PARLEY_SESSION_WRONG_PASSWORDS_PER_ACCOUNT_MAX: "1" });
      const { login, from, refreshToken } = await ownerAt("198.51.100.1");
      await from("203.0.113.5").refreshTokens({ refreshToken });
      const guess = { login, password: "guess" };
      await expect(from("192.0.2.1").logIn(guess)).rejects.toThrow("wrong password");
      const refused = { reason: "TOO_MANY_ATTEMPTS" };
      const right = { login, password };
      await expect(from("198.51.100.1").logIn(right)).rejects.toMatchObject(refused);
      await from("203.0.113.5").logIn(right);
      await session.restart();
    });

    /** An account whose one device signed up from an address. */
    const ownerAt = async (home: string) => {
      const from = (clientAddress: string) => session.as(undefined, { clientAddress });
      const username = `owner-${++owners}`;
      const { tokens } = await from(home).signUp({ username, password });
      return { login: username, from, refreshToken: tokens!.refreshToken };
    };
    let owners = 0;

    it.each([
      ["198.51.100.7", "198.51.100.7", "198.51.100.8"],
      ["2001:db8::7", "2001:db8::8", "2001:db8:0:1::7"],
    ])(
      "[O3] who sent too many wrong passwords from %s waits, as %s, %s doesn't",
      async (first, same, other) => {
        await session.restart({ PARLEY_SESSION_WRONG_PASSWORDS_PER_ADDRESS_MAX: "2" });
        const { user } = await session.signUp();
        const from = (clientAddress: string) => session.as(undefined, { clientAddress });
        for (const login of ["victim-1", "victim-2"]) {
          await expect(from(first).logIn({ login, password })).rejects.toThrow("wrong");
        }
        const logIn = { login: user!.username, password };
        await expect(from(same).logIn(logIn)).rejects.toMatchObject({
          reason: "TOO_MANY_ATTEMPTS",
        });
        await from(other).logIn(logIn);
        await from("").logIn(logIn);
        await session.restart();
      },
    );

    it("[A1] a password stored with other parameters is stored anew, and still right", async () => {
      const { user, userId } = await session.signUp();
      await session.restart({ PARLEY_SESSION_PASSWORD_PASSES: "2" });
      const stored = async () => {
        const rows = await session.sql.query<{ password_hash: string }>(
          "SELECT password_hash FROM users WHERE user_id = $1",
          [userId],
        );
        return rows[0]!.password_hash;
      };
      expect(await stored()).toContain("$m=8,t=1,p=1$");
      const logIn = { login: user!.username, password };
      await Promise.all([1, 2, 3].map(() => session.as().logIn(logIn)));
      const renewed = await stored();
      expect(renewed).toContain("$m=8,t=2,p=1$");
      await session.as().logIn(logIn);
      expect(await stored()).toBe(renewed);
      await session.restart();
    });

    it("[A1] a log-in that a change of password overtakes fails", async () => {
      const { user, ...device } = await session.signUp();
      const change = { oldPassword: password, newPassword: "battery staple" };
      const results = await Promise.allSettled([
        session.as(device).changePassword(change),
        ...Array.from({ length: 8 }, () => session.as().logIn({ login: user!.username, password })),
      ]);
      expect(results[0]!.status).toBe("fulfilled");
      const { devices } = await session.as(device).listDevices({});
      expect(devices.map(({ deviceId }) => deviceId)).toEqual([device.deviceId]);
    });
  });

  describe("ChangePassword", () => {
    it("[A1] takes the new password, refuses the old one, and signs every other device out", async () => {
      const { user, userId, deviceId } = await session.signUp();
      const login = user!.username;
      const other = await session.as().logIn({ login, password });
      const change = { oldPassword: password, newPassword: "battery staple" };
      await session.as({ userId, deviceId }).changePassword(change);

      await session.as().logIn({ login, password: "battery staple" });
      await expect(session.as().logIn({ login, password })).rejects.toMatchObject({
        reason: "CREDENTIALS_WRONG",
      });
      expect(await session.revocationsOf(userId)).toMatchObject([{ deviceId: other.deviceId }]);
      const refresh = { refreshToken: other.tokens!.refreshToken };
      await expect(session.as().refreshTokens(refresh)).rejects.toMatchObject({
        reason: "REFRESH_TOKEN_INVALID",
      });
    });

    it("[A1] needs the password in force and a good new one", async () => {
      const own = session.as(await session.signUp());
      const change = { oldPassword: "wrong password", newPassword: "battery staple" };
      await expect(own.changePassword(change)).rejects.toMatchObject({
        reason: "CREDENTIALS_WRONG",
      });
      const short = { oldPassword: password, newPassword: "short" };
      await expect(own.changePassword(short)).rejects.toThrow("new_password: 5 code points");
    });

    it("[A1] of two changes at once one counts", async () => {
      const device = await session.signUp();
      const results = await Promise.allSettled(
        ["first password", "second password"].map((newPassword) =>
          session.as(device).changePassword({ oldPassword: password, newPassword }),
        ),
      );
      expect(results.map((result) => result.status).sort()).toEqual(["fulfilled", "rejected"]);
    });

    it("[O3] guessing on a stolen device is limited", async () => {
      await session.restart({ PARLEY_SESSION_WRONG_PASSWORDS_PER_ACCOUNT_MAX: "1" });
      const own = session.as(await session.signUp());
      const guess = () => own.deleteAccount({ password: "wrong password" });
      await expect(guess()).rejects.toMatchObject({ reason: "CREDENTIALS_WRONG" });
      await expect(guess()).rejects.toMatchObject({ reason: "TOO_MANY_ATTEMPTS" });
      await session.restart();
    });
  });
});
