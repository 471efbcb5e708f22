import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type InboxItem, InboxResetReason } from "../../../gen/parley/message/v1/inbox_pb.js";
import { FollowResponseSchema } from "../../../gen/parley/message/v1/message_service_pb.js";
import { ChannelUpdateState } from "../../../gen/parley/message/v1/sync_pb.js";
import { type RpcError, toRpcError } from "../../../mesh/errors.ts";
import type { ResponseStream } from "../../../mesh/rpc.ts";
import { messageCodes } from "../message-codes.ts";

type Init = MessageInitShape<typeof FollowResponseSchema>;

/** A caller of Follow, for tests, that reads when it is told to. */
export class Reader implements ResponseStream<Init> {
  /** What has been read: "started 3", "12 after 3: hello", "caughtUp 12", "reset TRIMMED 9". */
  readonly heard: string[] = [];
  readonly responseSizes: number[] = [];
  error: RpcError | undefined;
  isReading = true;
  onClose = () => {};
  private waiting: (() => void)[] = [];

  write(init: Init, onWritten?: () => void): void {
    if (this.error) return;
    this.hear(create(FollowResponseSchema, init).event);
    if (this.isReading) queueMicrotask(() => onWritten?.());
    else if (onWritten) this.waiting.push(onWritten);
  }

  end(thrown?: unknown): void {
    if (this.error) return;
    this.error = toRpcError(thrown, messageCodes);
    this.onClose();
  }

  /** Takes what waits. */
  read(): void {
    this.isReading = true;
    for (const onWritten of this.waiting.splice(0)) onWritten();
  }

  private hear(event: ReturnType<typeof create<typeof FollowResponseSchema>>["event"]): void {
    if (event.case === "started") {
      const { inboxSequence, resetReason } = event.value;
      this.heard.push(`started ${inboxSequence} ${InboxResetReason[resetReason]}`);
    } else if (event.case === "typing" || event.case === "cursorsMoved") {
      this.heard.push(`${event.case} ${event.value.channelId}`);
    } else if (event.case === "caughtUp") this.heard.push(`caughtUp ${event.value.inboxSequence}`);
    else if (event.case === "reset") {
      this.heard.push(`reset ${InboxResetReason[event.value.reason]} ${event.value.inboxSequence}`);
    } else if (event.case === "deliveries") {
      this.responseSizes.push(event.value.deliveries.length);
      for (const { inboxSequence, prevInboxSequence, entry } of event.value.deliveries) {
        this.heard.push(`${inboxSequence} after ${prevInboxSequence}: ${said(entry!.items)}`);
      }
    } else if (event.case === "channelUpdates") {
      for (const { state, channelSequence, messages } of event.value.updates) {
        const items = messages.map((value) => ({ item: { case: "message" as const, value } }));
        this.heard.push(`update ${ChannelUpdateState[state]} ${channelSequence}: ${said(items)}`);
      }
    } else if (event.case === "channelDeliveries") {
      const { prevChannelSequence, channelSequence, items } = event.value;
      this.heard.push(`live ${prevChannelSequence}-${channelSequence}: ${said(items)}`);
    }
  }
}

function said(items: readonly Pick<InboxItem, "item">[]): string {
  const words = items.map(({ item }) => {
    if (item.case !== "message") return item.case;
    const { body } = item.value;
    if (body.case === "text") return body.value.slice(0, 20);
    return body.case === "membershipChange" ? body.value.kind : body.case;
  });
  return words.join(", ");
}
