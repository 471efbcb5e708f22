/** How variants replace a part by a broken one. */
import type { Stream, Streams } from "../../mesh/streams.ts";
import { type Parts, realParts } from "./parts.ts";

/** A stream of which some methods are others. */
export type StreamChange = (stream: Stream) => Partial<Stream>;

/** The parts with another log for the Message instances. */
export function messageLog(change: StreamChange): Parts {
  return {
    ...realParts,
    messageService: (deps) =>
      realParts.messageService({ ...deps, streams: changed(deps.streams, "log", change) }),
  };
}

/** The parts with another log for the workers. */
export function workerLog(change: StreamChange): Parts {
  return {
    ...realParts,
    workers: (deps) =>
      realParts.workers({ ...deps, streams: changed(deps.streams, "log", change) }),
  };
}

/** The parts with other inboxes for the edges. */
export function edgeInbox(change: StreamChange): Parts {
  return {
    ...realParts,
    inboxFeeds: (options) =>
      realParts.inboxFeeds({ ...options, streams: changed(options.streams, "inbox", change) }),
  };
}

function changed(streams: Streams, name: "log" | "inbox", change: StreamChange): Streams {
  const stream = streams[name];
  return { ...streams, [name]: Object.assign(Object.create(stream), change(stream)) };
}

// biome-ignore lint/suspicious/noExplicitAny: any method of any class.
type Method = (...args: any[]) => any;

/** Replaces a method of a class, private ones too; returns what puts the real one back. */
export function replaceMethod(
  of: { prototype: object },
  name: string,
  replacement: (original: Method) => Method,
): () => void {
  const prototype = of.prototype as Record<string, Method>;
  const original = prototype[name];
  if (!original) throw new Error(`there is no method ${name}`);
  prototype[name] = replacement(original);
  return () => {
    prototype[name] = original;
  };
}
