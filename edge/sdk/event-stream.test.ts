import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readEvents, readLines, type StreamEvent } from "./event-stream.ts";

/** A body that comes in pieces of these sizes. */
function body(text: string, sizes: readonly number[]): ReadableStream<Uint8Array> {
  let bytes = new TextEncoder().encode(text);
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (bytes.length === 0) return controller.close();
      const size = sizes[at++ % sizes.length]!;
      controller.enqueue(bytes.subarray(0, size));
      bytes = bytes.subarray(size);
    },
  });
}

describe("an event stream", () => {
  it("is read the same, however it is cut", async () => {
    const value = fc.string({ unit: "grapheme" }).map((text) => text.replace(/[\r\n]/g, " "));
    const event = fc.record({ id: value, name: value, data: value });
    const isTold = ({ data }: StreamEvent) => data !== "";
    const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(event),
        sizes,
        fc.constantFrom("\n", "\r\n"),
        async (events, sizes, end) => {
          const text = events
            .map(({ id, name, data }) => [`id: ${id}`, `event: ${name}`, ":", `data: ${data}`])
            .map((lines) => [...lines, "", ""].join(end))
            .join("");
          const read: StreamEvent[] = [];
          let heard = 0;
          for await (const each of readEvents(body(text, sizes), () => heard++)) read.push(each);
          expect(read).toEqual(events.filter(isTold));
          expect(heard > 0).toBe(text !== "");
        },
      ),
    );
  });

  it("that breaks off in the midst of an event tells nothing of it", async () => {
    const read: StreamEvent[] = [];
    const text = "data: whole\n\ndata: half\n";
    for await (const event of readEvents(body(text, [5]), () => {})) read.push(event);
    expect(read).toEqual([{ id: "", name: "message", data: "whole" }]);
  });

  it("with a line without end fails", async () => {
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(1024 * 1024).fill(97)),
    });
    const lines = readLines(endless);
    await expect(lines.next()).rejects.toThrow("a line of more than");
  });
});
