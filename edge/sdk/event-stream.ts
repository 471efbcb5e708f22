/** What comes bit by bit over HTTP: lines, and Server-Sent Events made of them. */

/** One event of an event stream. */
export interface StreamEvent {
  /** Empty: it has none, and the one before stays. */
  id: string;
  /** "message" where the stream says nothing. */
  name: string;
  data: string;
}

/** UTF-16 units of one line; a longer one fails the stream. Frames are at most 4 MB. */
const lineLengthMax = 16 * 1024 * 1024;

/**
 * Reads Server-Sent Events as the HTML standard has them, less what Parley does not use: an event
 * has one line of data.
 * @param onHeard told of every sign of life, comments too
 * @throws Error where the stream breaks, or a line is too long
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  onHeard: () => void,
): AsyncGenerator<StreamEvent> {
  let event = emptyEvent();
  for await (const line of readLines(body, onHeard)) {
    if (line !== "") {
      addLine(event, line);
    } else {
      if (event.data !== "") yield event;
      event = emptyEvent();
    }
  }
}

/** Reads lines; what comes after the last end of a line is none. As {@link readEvents}. */
export async function* readLines(
  body: ReadableStream<Uint8Array>,
  onHeard: () => void = () => {},
): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let begun = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onHeard();
    const lines = decoder.decode(value, { stream: true }).split("\n");
    lines[0] = begun + lines[0];
    begun = lines.pop()!;
    if (begun.length > lineLengthMax) {
      throw new Error(`a line of more than ${lineLengthMax} characters`);
    }
    for (const line of lines) yield line.endsWith("\r") ? line.slice(0, -1) : line;
  }
}

function emptyEvent(): StreamEvent {
  return { id: "", name: "message", data: "" };
}

function addLine(event: StreamEvent, line: string): void {
  const colon = line.indexOf(":");
  const field = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
  if (field === "id") event.id = value;
  else if (field === "event") event.name = value;
  else if (field === "data") event.data = value;
}
