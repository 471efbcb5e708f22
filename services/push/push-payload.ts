/**
 * Cuts a text at a code point, and ends it with "…", so that what it takes in JSON (UTF-8, with
 * escapes, without the quotes) is at most `bytesMax`.
 */
export function cutToJsonBytes(text: string, bytesMax: number): string {
  if (jsonBytes(text) <= bytesMax) return text;
  const ellipsis = "…";
  let left = bytesMax - jsonBytes(ellipsis);
  let end = 0;
  for (const codePoint of text) {
    left -= jsonBytes(codePoint);
    if (left < 0) break;
    end += codePoint.length;
  }
  return text.slice(0, end) + ellipsis;
}

/** A payload with the body cut so that the whole is at most `bytesMax`, in JSON. */
export function payloadWithin(
  bytesMax: number,
  body: string | undefined,
  payload: (body: string | undefined) => object,
): string {
  const text = JSON.stringify(payload(body));
  const over = Buffer.byteLength(text) - bytesMax;
  if (body === undefined || over <= 0) return text;
  return JSON.stringify(payload(cutToJsonBytes(body, jsonBytes(body) - over)));
}

function jsonBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text)) - 2;
}
