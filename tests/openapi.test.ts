/** docs/openapi.yaml: sound, complete, and true of what a running Parley takes and answers. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { publicMethods } from "../edge/public-methods.ts";
import { UuidV7 } from "../edge/sdk/uuid-v7.ts";
import { type ParleyProcess, startParley } from "./parley-process.ts";

vi.setConfig({ testTimeout: 120_000 });

const source = readFileSync(join(import.meta.dirname, "../docs/openapi.yaml"), "utf8");
const document = parse(source);

describe("docs/openapi.yaml", () => {
  it("[O4] has nothing that the linter minds", async () => {
    const config = await createConfig({ extends: ["recommended"] });
    const problems = await lintFromString({ source, config });
    const said = problems.map(({ ruleId, message, location }) => {
      return `${ruleId}: ${message} ${location[0]?.pointer}`;
    });
    expect(said).toEqual([]);
  });

  it("[H2] has every public method, and no other", () => {
    const paths = Object.keys(document.paths).map((path) => path.slice(1));
    expect(paths.sort()).toEqual([...publicMethods.keys()].sort());
  });

  it("[H2] names the reasons that the contract names, and who needs no token", () => {
    const { paths } = document;
    const send = paths["/parley.message.v1.MessageService/SendMessage"].post;
    expect(send.responses[403].description).toContain("NOT_A_MEMBER");
    expect(send.responses[409].description).toContain("CLIENT_MESSAGE_ID_REUSED");
    expect(send.security).toBeUndefined();
    expect(paths["/parley.session.v1.SessionService/LogIn"].post.security).toEqual([]);
    const { properties } = document.components.schemas["parley.message.v1.SendMessageRequest"];
    expect(properties.text).toMatchObject({ minLength: 1, maxLength: 99_999 });
    expect(properties.replyToMessageId).toMatchObject({ type: "string", format: "int64" });
  });
});

describe("a client that goes by docs/openapi.yaml", () => {
  let parley: ParleyProcess;
  beforeAll(async () => {
    parley = await startParley();
  });
  afterAll(() => parley.stop());

  const clientIds = new UuidV7();
  // Formats are annotations; patterns, lengths and types are what is checked.
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema({ $id: "openapi", ...document });

  function check(schema: { $ref: string }, value: unknown): void {
    const validate = ajv.compile({ $ref: `openapi${schema.$ref}`, unevaluatedProperties: false });
    validate(value);
    expect(validate.errors ?? []).toEqual([]);
  }

  /** Calls by the name of the operation; what goes and what comes must be as described. */
  async function call(method: string, body: object, accessToken?: string) {
    const [path, operation] = Object.entries<{ post: Operation }>(document.paths)
      .map(([at, { post }]) => [at, post] as const)
      .find(([, { operationId }]) => operationId === method)!;
    check(operation.requestBody.content["application/json"].schema, body);
    expect(accessToken === undefined).toBe(operation.security !== undefined);
    const response = await fetch(parley.url + path, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(accessToken !== undefined && { authorization: `Bearer ${accessToken}` }),
      },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    const described = operation.responses[response.status];
    expect(described, `${method} answered ${response.status}`).toBeDefined();
    check(described!.content["application/json"].schema, answer);
    return { status: response.status, answer };
  }

  it("[H2] signs up, talks, reads and is refused as it says", async () => {
    const signUp = async (username: string) => {
      const body = { username, password: "correct horse", deviceName: "a test" };
      return (await call("SessionService_SignUp", body)).answer;
    };
    const ann = await signUp("ann");
    const bob = await signUp("bob");
    const token = ann.tokens.accessToken;
    const again = { username: "ann", password: "correct horse" };
    expect((await call("SessionService_SignUp", again)).status).toBe(409);

    const withBob = { userId: bob.user.userId };
    const opened = await call("MessageService_CreateDirectChannel", withBob, token);
    const { channelId } = opened.answer.channel;
    const send = async (text: string) => {
      const body = { channelId, clientMessageId: clientIds.next(Date.now()), text };
      return call("MessageService_SendMessage", body, token);
    };
    const { messageId } = (await send("Hello, @bob")).answer;
    const emoji = {
      channelId,
      clientMessageId: clientIds.next(Date.now()),
      messageId,
      emoji: "👍",
    };
    await call("MessageService_AddReaction", emoji, bob.tokens.accessToken);
    const { messages } = (await call("MessageService_ListMessages", { channelId }, token)).answer;
    expect(messages[0]).toMatchObject({ messageId, text: "Hello, @bob" });
    await call("MessageService_ListChannels", {}, token);
    await call("MessageService_ListMembers", { channelId }, token);
    await call("MessageService_SearchMessages", { query: "hello" }, token);
    await call("PresenceService_GetPresence", { userIds: [bob.user.userId] }, token);
    await call("SessionService_GetSettings", {}, token);
    await call("SessionService_ListDevices", {}, token);

    const elsewhere = { channelId: `g-${"0".repeat(20)}` };
    expect((await call("MessageService_ListMessages", elsewhere, token)).status).toBe(403);
    expect((await call("MessageService_ListChannels", {}, "forged")).status).toBe(401);
    await call("SessionService_LogOut", {}, token);
  });
});

interface Content {
  content: { "application/json": { schema: { $ref: string } } };
}

interface Operation {
  operationId: string;
  security?: unknown;
  requestBody: Content;
  responses: Record<number, Content>;
}
