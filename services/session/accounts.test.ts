import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Code } from "../../mesh/errors.ts";
import type { Identity } from "../../mesh/rpc.ts";
import { sessionCodes } from "./session-errors.ts";
import { TestSession } from "./test-session.ts";

const password = "correct horse";
const nobody: Identity = { userId: "nobody0000000000", deviceId: "nothing000000000" };

describe("accounts", () => {
  let session: TestSession;

  beforeAll(async () => {
    session = await TestSession.open();
  });
  afterAll(() => session.close());

  describe("SignUp", () => {
    it("[A1] makes an account and signs its first device in", async () => {
      const { user, deviceId, tokens } = await session.as().signUp({
        username: "Zoe",
        password,
        displayName: "Zoë 👋",
        email: "Zoe@Example.org",
        deviceName: "phone",
      });
      expect(user).toMatchObject({ username: "Zoe", displayName: "Zoë 👋" });
      expect(user!.userId).toMatch(/^[a-z0-9]{16}$/);
      expect(deviceId).toMatch(/^[a-z0-9]{16}$/);
      expect(tokens!.accessToken.split(".")).toHaveLength(3);
      const caller = { userId: user!.userId, deviceId };
      const { profile } = await session.as(caller).getProfile({});
      expect(profile).toMatchObject({ user, email: "Zoe@Example.org" });
      const { devices } = await session.as(caller).listDevices({});
      expect(devices).toMatchObject([{ deviceId, name: "phone", current: true }]);
    });

    it("[A1] shows the user name where no other name is given", async () => {
      const { user } = await session.signUp({ username: "plain.name" });
      expect(user).toMatchObject({ username: "plain.name", displayName: "plain.name" });
    });

    it("[A1] a name or an address is taken in any case", async () => {
      await session.signUp({ username: "Taken_1", email: "Taken@Example.org" });
      await expect(session.signUp({ username: "tAKEN_1" })).rejects.toMatchObject({
        reason: "USERNAME_TAKEN",
      });
      await expect(session.signUp({ email: "tAKEN@eXAMPLE.oRG" })).rejects.toMatchObject({
        reason: "EMAIL_TAKEN",
      });
      await session.signUp();
      await session.signUp();
    });

    it("[A1] of several who sign up with one name at once one gets it", async () => {
      const cases = ["race", "Race", "RACE", "rAcE"];
      const results = await Promise.allSettled(
        cases.map((username) => session.signUp({ username })),
      );
      expect(results.filter((result) => result.status === "fulfilled")).toHaveLength(1);
      const refused = results.filter((result) => result.status === "rejected");
      for (const { reason } of refused) expect(reason).toMatchObject({ reason: "USERNAME_TAKEN" });
    });

    it("[A1] every name of the alphabet signs in and is found in any case", async () => {
      const letters = [..."abcXYZ019_.-"];
      const names = fc.string({ unit: fc.constantFrom(...letters), minLength: 3, maxLength: 28 });
      let run = 0;
      await fc.assert(
        fc.asyncProperty(names, fc.infiniteStream(fc.boolean()), async (letters, upper) => {
          const username = `${letters}${run++}`.slice(-32);
          const other = [...username]
            .map((letter) => (upper.next().value ? letter.toUpperCase() : letter.toLowerCase()))
            .join("");
          const { userId } = await session.signUp({ username });
          const { user } = await session.as().logIn({ login: other, password });
          expect(user).toMatchObject({ userId, username });
          const { users } = await session.as().listUsers({ usernames: [other] });
          expect(users).toMatchObject([{ userId, username }]);
          await expect(session.signUp({ username: other })).rejects.toMatchObject({
            reason: "USERNAME_TAKEN",
          });
        }),
        { numRuns: 25 },
      );
    });

    it("[A1] a bad field is named with its value and limit", async () => {
      const good = { username: "someone", password };
      const bad: [Record<string, string>, string, RegExp][] = [
        [{ username: "ab" }, "username", /"ab" is not 3 to 32/],
        [{ username: "a".repeat(33) }, "username", /3 to 32/],
        [{ username: "zoë" }, "username", /"zoë"/],
        [{ username: "a b c" }, "username", /"a b c"/],
        [{ username: "nul\0" }, "username", /3 to 32/],
        [{ password: "7 chars" }, "password", /^7 code points are not 8 to 256/],
        [{ password: "👋".repeat(257) }, "password", /^257 code points/],
        [{ password: `lone \ud800 one` }, "password", /well-formed/],
        [{ displayName: "x".repeat(65) }, "display_name", /65 code points are more than 64/],
        [{ displayName: "   " }, "display_name", /blank/],
        [{ displayName: "two\nlines" }, "display_name", /control/],
        [{ displayName: "nul\0" }, "display_name", /control/],
        [{ email: "nobody" }, "email", /"nobody" is not an address/],
        [{ email: "two words@example.org" }, "email", /not an address/],
        [{ email: `a@${"b".repeat(253)}` }, "email", /255 code points are more than 254/],
        [{ deviceName: "👋".repeat(65) }, "device_name", /65 code points/],
      ];
      for (const [fields, field, description] of bad) {
        await expect(session.as().signUp({ ...good, ...fields })).rejects.toMatchObject({
          reason: "FIELD_INVALID",
          details: {
            fieldViolations: [{ field, description: expect.stringMatching(description) }],
          },
        });
      }
    });

    it("[A1] longest values of every field are good", async () => {
      const { userId, deviceId } = await session.signUp({
        username: "u".repeat(32),
        password: "👋".repeat(256),
        email: `a@${"b".repeat(252)}`,
        deviceName: "👋".repeat(64),
      });
      const displayName = "👋".repeat(64);
      await session.as({ userId, deviceId }).updateProfile({ displayName });
      await session.as().logIn({ login: "u".repeat(32), password: "👋".repeat(256) });
    });

    it("[O3] an address that signs up too often is told when to come again", async () => {
      await session.restart({ PARLEY_SESSION_SIGN_UPS_PER_ADDRESS_MAX: "2" });
      await session.signUp();
      await session.signUp();
      await expect(session.signUp()).rejects.toMatchObject({
        reason: "TOO_MANY_ATTEMPTS",
        details: { retryAfterMs: 1_800_000 },
      });
      await session.restart();
    });
  });

  describe("GetProfile and UpdateProfile", () => {
    it("[A1] changes what is set and leaves the rest", async () => {
      const { userId, deviceId } = await session.signUp({ email: "old@example.org" });
      const own = session.as({ userId, deviceId });
      const before = (await own.getProfile({})).profile!;
      expect((await own.updateProfile({ displayName: "New" })).profile).toMatchObject({
        user: { displayName: "New", username: before.user!.username },
        email: "old@example.org",
        createTime: before.createTime,
      });
      expect((await own.updateProfile({ email: "new@example.org" })).profile).toMatchObject({
        user: { displayName: "New" },
        email: "new@example.org",
      });
      expect((await own.updateProfile({ email: "" })).profile).toMatchObject({ email: "" });
      expect((await own.updateProfile({})).profile).toEqual((await own.getProfile({})).profile);
    });

    it("[A1] refuses another's address and bad values, and changes nothing then", async () => {
      await session.signUp({ email: "hers@example.org" });
      const { userId, deviceId } = await session.signUp();
      const own = session.as({ userId, deviceId });
      const taken = { displayName: "Changed", email: "HERS@example.org" };
      await expect(own.updateProfile(taken)).rejects.toMatchObject({ reason: "EMAIL_TAKEN" });
      await expect(own.updateProfile({ displayName: "" })).rejects.toMatchObject({
        reason: "FIELD_INVALID",
      });
      expect((await own.getProfile({})).profile).not.toMatchObject({
        user: { displayName: "Changed" },
      });
    });
  });

  describe("DeleteAccount", () => {
    it("[A1] ends every device, frees the names, and needs the password", async () => {
      const names = { username: "leaving", email: "leaving@example.org" };
      const { userId, deviceId, tokens } = await session.signUp(names);
      const own = session.as({ userId, deviceId });
      await expect(own.deleteAccount({ password: "wrong password" })).rejects.toMatchObject({
        reason: "CREDENTIALS_WRONG",
      });
      await own.deleteAccount({ password });

      expect(await session.revocationsOf(userId)).toMatchObject([{ deviceId: "" }]);
      const refresh = { refreshToken: tokens!.refreshToken };
      await expect(session.as().refreshTokens(refresh)).rejects.toMatchObject({
        reason: "REFRESH_TOKEN_INVALID",
      });
      expect((await session.as().listUsers({ userIds: [userId] })).users).toEqual([]);
      await session.signUp(names);
    });

    it("[G1] leaves the account's groups first, and goes on only where that is done", async () => {
      const { userId, deviceId } = await session.signUp();
      const own = session.as({ userId, deviceId });
      session.isMessageAway = true;
      await expect(own.deleteAccount({ password })).rejects.toMatchObject({
        reason: "UNAVAILABLE",
      });
      session.isMessageAway = false;
      expect((await own.getProfile({})).profile).toMatchObject({ user: { userId } });
      await expect(own.deleteAccount({ password: "wrong password" })).rejects.toMatchObject({
        reason: "CREDENTIALS_WRONG",
      });
      expect(session.groupsLeftBy).not.toContain(userId);
      await own.deleteAccount({ password });
      expect(session.groupsLeftBy).toContain(userId);
    });

    it("[A1] leaves nothing of the account in any table but the revocation on its way", async () => {
      const [leaving, staying] = [await session.signUp(), await session.signUp()];
      const own = session.as(leaving);
      await own.requestFriend({ userId: staying.userId });
      await session.as(staying).acceptFriend({ userId: leaving.userId });
      await own.blockUser({ userId: (await session.signUp()).userId });
      await session.as(await session.signUp()).blockUser({ userId: leaving.userId });
      await own.deleteAccount({ password });
      const columns = await session.sql.query<{ table: string; column: string }>(
        `SELECT table_name AS table, column_name AS column FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type = 'text'`,
      );
      expect(columns.map(({ table }) => table)).toContain("blocks");
      for (const { table, column } of columns) {
        const statement = `SELECT 1 FROM ${table} WHERE ${column} = $1`;
        const rows = await session.sql.query(statement, [leaving.userId]);
        expect({ table, column, rows }).toEqual({ table, column, rows: [] });
      }
      expect(session.changed).toContain(leaving.userId);
    });

    it("[A1] what the deleted account's device still asks is answered TOKEN_REVOKED", async () => {
      const own = session.as(nobody);
      const { userId } = await session.signUp();
      const calls = [
        own.getProfile({}),
        own.updateProfile({}),
        own.getSettings({}),
        own.updateSettings({ settings: {} }),
        own.changePassword({ oldPassword: password, newPassword: password }),
        own.deleteAccount({ password }),
        own.requestFriend({ userId }),
      ];
      for (const result of await Promise.allSettled(calls)) {
        expect(result).toMatchObject({ reason: { reason: "TOKEN_REVOKED" } });
      }
    });
  });

  describe("ListUsers", () => {
    it("[A1] finds users by id and by name, each once, and leaves unknown ones out", async () => {
      const users = await Promise.all(Array.from({ length: 3 }, () => session.signUp()));
      const [a, b, c] = users.map((answer) => answer.user!);
      const found = await session.as(nobody).listUsers({
        userIds: [a!.userId, b!.userId, nobody.userId],
        usernames: [b!.username.toUpperCase(), c!.username, "unknown"],
      });
      const byId = [a!, b!, c!].sort((x, y) => (x.userId < y.userId ? -1 : 1));
      expect(found.users).toEqual(byId);
    });

    it("[A1] takes 1 to 100 well-formed ids and names", async () => {
      const own = session.as(nobody);
      const usernames = Array.from({ length: 100 }, (_, i) => `name-${i}`);
      await own.listUsers({ usernames });
      const bad = [
        {},
        { usernames, userIds: [nobody.userId] },
        { userIds: ["nul\0"] },
        { usernames: ["a b"] },
      ];
      for (const request of bad) {
        await expect(own.listUsers(request)).rejects.toMatchObject({ reason: "FIELD_INVALID" });
      }
    });
  });

  it("[A1] methods of a device refuse who is none", async () => {
    const as = session.as();
    const calls = [
      as.logOut({}),
      as.getProfile({}),
      as.updateProfile({}),
      as.getSettings({}),
      as.updateSettings({ settings: {} }),
      as.changePassword({ oldPassword: password, newPassword: password }),
      as.deleteAccount({ password }),
      as.listDevices({}),
      as.revokeDevice({ deviceId: nobody.deviceId }),
      as.requestFriend({ userId: nobody.userId }),
      as.acceptFriend({ userId: nobody.userId }),
      as.declineFriend({ userId: nobody.userId }),
      as.removeFriend({ userId: nobody.userId }),
      as.listFriends({}),
    ];
    for (const result of await Promise.allSettled(calls)) {
      expect(result).toMatchObject({ reason: { reason: "TOKEN_MISSING" } });
    }
  });

  it("[A1] every reason has a code that callers can act on", () => {
    expect(new Set(Object.values(sessionCodes))).toEqual(
      new Set([
        Code.UNAUTHENTICATED,
        Code.PERMISSION_DENIED,
        Code.NOT_FOUND,
        Code.ALREADY_EXISTS,
        Code.RESOURCE_EXHAUSTED,
      ]),
    );
  });
});
