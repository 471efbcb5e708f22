import { beforeEach, describe, expect, it } from "vitest";
import { MessageService } from "../../../gen/parley/message/v1/message_service_pb.js";
import { CheckContactsRequest_Kind as Kind } from "../../../gen/parley/session/v1/session_service_pb.js";
import { Code, RpcError } from "../../../mesh/errors.ts";
import { MessageFixture, type MessageInstance } from "../message-fixture.ts";
import { refusalOf } from "./contacts.ts";

const { method } = MessageService;

describe("whom one may contact", () => {
  let fixture: MessageFixture;
  let instance: MessageInstance;
  beforeEach(() => {
    fixture = new MessageFixture();
    instance = fixture.instance();
  });

  const open = async (userId: string, otherId: string) =>
    (await instance.call(userId, method.createDirectChannel, { userId: otherId })).channel!
      .channelId;
  const send = (userId: string, channelId: string) => {
    const request = { channelId, clientMessageId: fixture.clientId(), text: "hello" };
    return instance.call(userId, method.sendMessage, request);
  };
  const createGroup = async (userId: string, ...userIds: string[]) => {
    const request = { clientMessageId: fixture.clientId(), name: "group", userIds };
    return (await instance.call(userId, method.createGroup, request)).channel!.channelId;
  };
  const add = (userId: string, channelId: string, ...userIds: string[]) => {
    const clientMessageId = fixture.clientId();
    return instance.call(userId, method.addMembers, { channelId, clientMessageId, userIds });
  };

  it("[A2] who is blocked opens no channel and adds nobody; the other may", async () => {
    fixture.block("ben", "ann");
    const refused = { reason: "BLOCKED" };
    await expect(open("ann", "ben")).rejects.toMatchObject(refused);
    await expect(createGroup("ann", "carl", "ben")).rejects.toMatchObject(refused);
    const channelId = await createGroup("ann");
    await expect(add("ann", channelId, "ben")).rejects.toMatchObject(refused);
    await send("ben", await open("ben", "ann"));
    await createGroup("ben", "ann");
  });

  it("[A2] who is outside the audience neither", async () => {
    fixture.unwilling.add("ben");
    const refused = { reason: "NOT_IN_AUDIENCE" };
    await expect(open("ann", "ben")).rejects.toMatchObject(refused);
    await expect(createGroup("ann", "ben")).rejects.toMatchObject(refused);
    // Whom ben writes to may answer.
    const channelId = await open("ben", "ann");
    await send("ann", channelId);
    expect(await open("ann", "ben")).toBe(channelId);
  });

  it("[A2] in a channel that exists a block stops texts, edits, reactions and typing of one side", async () => {
    const channelId = await open("ann", "ben");
    const { messageId } = await send("ann", channelId);
    fixture.block("ben", "ann", "carl");
    const change = () => ({ channelId, clientMessageId: fixture.clientId(), messageId });
    const refused = { reason: "BLOCKED" };
    await expect(send("ann", channelId)).rejects.toMatchObject(refused);
    await expect(
      instance.call("ann", method.editMessage, { ...change(), text: "hi" }),
    ).rejects.toMatchObject(refused);
    await expect(
      instance.call("ann", method.addReaction, { ...change(), emoji: "👍" }),
    ).rejects.toMatchObject(refused);
    await expect(instance.call("ann", method.sendTyping, { channelId })).rejects.toMatchObject(
      refused,
    );
    await instance.call("ann", method.deleteMessage, change());
    await instance.call("ann", method.listMessages, { channelId });
    const bens = await send("ben", channelId);
    // What nobody may is not for the block to refuse.
    const edit = { ...change(), messageId: bens.messageId, text: "hi" };
    await expect(instance.call("ann", method.editMessage, edit)).rejects.toMatchObject({
      reason: "NOT_THE_SENDER",
    });
    fixture.block("ben");
    await send("ann", channelId);
  });

  it("[A2] [M5] a resend of what was sent before the block is answered as it was", async () => {
    const channelId = await open("ann", "ben");
    const request = { channelId, clientMessageId: fixture.clientId(), text: "hello" };
    const first = await instance.call("ann", method.sendMessage, request);
    fixture.block("ben", "ann");
    expect(await instance.call("ann", method.sendMessage, request)).toEqual(first);
  });

  it("[A2] in groups a block stops nobody", async () => {
    const channelId = await createGroup("ann", "ben");
    fixture.block("ben", "ann");
    await send("ann", channelId);
  });

  it("[A2] an id that is no account's form is nobody's, and no fault of the service", async () => {
    const refuses = async () => {
      throw new RpcError(Code.INVALID_ARGUMENT, "FIELD_INVALID", "bob is not 16 characters");
    };
    expect(await refusalOf(refuses, "ann", Kind.MESSAGE, ["bob"])).toMatchObject({
      reason: "USER_NOT_FOUND",
      message: "a user does not exist: bob is not 16 characters",
    });
  });

  it("[R2] while Session is away existing channels go on, first contacts wait", async () => {
    const [known, cold] = [await open("ann", "ben"), await open("ann", "carl")];
    await send("ann", known);
    fixture.block("dora", "ann");
    const blocked = await open("dora", "ann");
    await expect(send("ann", blocked)).rejects.toMatchObject({ reason: "BLOCKED" });
    fixture.isSessionAway = true;
    // As old as what is known may be, and older.
    fixture.clock.advance(3_600_000);
    await send("ann", known);
    await send("ann", cold);
    await expect(send("ann", blocked)).rejects.toMatchObject({ reason: "BLOCKED" });
    expect(await open("ann", "ben")).toBe(known);
    const away = { reason: "UNAVAILABLE" };
    await expect(open("ann", "emil")).rejects.toMatchObject(away);
    await expect(createGroup("ann", "ben")).rejects.toMatchObject(away);
    await createGroup("ann");
    fixture.isSessionAway = false;
    await open("ann", "emil");
  });
});
