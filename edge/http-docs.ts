/**
 * `/docs`, a page to try the HTTP API, and `/openapi.yaml`, which it is made from; `/` leads to the
 * page. All of it comes from this machine; the page runs no script but these, and calls nobody but
 * its edge.
 */
import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { answerProblem, HttpRefused, toProblem } from "./http-problem.ts";

const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Parley: HTTP API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
`;

const start = `SwaggerUIBundle({
  url: "/openapi.yaml",
  dom_id: "#api",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  validatorUrl: "none",
});
`;

interface Document {
  type: string;
  read(): Promise<Buffer | string>;
}

const require = createRequire(import.meta.url);
const packaged = (name: string) => () => readFile(require.resolve(`swagger-ui-dist/${name}`));
const javascript = "text/javascript; charset=utf-8";

const documents: ReadonlyMap<string, Document> = new Map([
  ["/docs", { type: "text/html; charset=utf-8", read: async () => html }],
  ["/docs/start.js", { type: javascript, read: async () => start }],
  ["/docs/swagger-ui-bundle.js", { type: javascript, read: packaged("swagger-ui-bundle.js") }],
  ["/docs/swagger-ui.css", { type: "text/css", read: packaged("swagger-ui.css") }],
  [
    "/openapi.yaml",
    {
      type: "application/yaml",
      read: () => readFile(new URL("../docs/openapi.yaml", import.meta.url)),
    },
  ],
]);

/** Whether the path is one of the documents, or leads to one. */
export function isDocument(path: string): boolean {
  return path === "/" || documents.has(path);
}

/** Answers with the document; never rejects. Each is read when it is first asked for, and kept. */
export async function answerDocument(
  path: string,
  { method }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    if (method !== "GET" && method !== "HEAD") {
      const allow = "GET, HEAD";
      throw new HttpRefused(405, "HTTP_METHOD_NOT_ALLOWED", `allowed is ${allow}`, { allow });
    }
    if (path === "/") {
      response.writeHead(302, { ...safety, location: "/docs" }).end();
      return;
    }
    const { type, read } = documents.get(path)!;
    const content = kept.get(path) ?? Buffer.from(await read());
    kept.set(path, content);
    response.writeHead(200, {
      ...safety,
      "content-type": type,
      "content-length": content.length,
      "cache-control": "max-age=3600",
    });
    response.end(method === "HEAD" ? undefined : content);
  } catch (error) {
    answerProblem(response, toProblem(error));
  }
}

const kept = new Map<string, Buffer>();

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
];
const safety = {
  "content-security-policy": policy.join("; "),
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};
