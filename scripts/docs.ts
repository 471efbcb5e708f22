/**
 * Writes what docs/ has of generated documents; `--output FOLDER` writes elsewhere. The contracts
 * come on standard input, as `buf build` writes them.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configDocs } from "./config-docs.ts";
import { openapiDocs } from "./openapi-docs.ts";
import { permissionsDocs } from "./permissions-docs.ts";
import { pushAnswersDocs } from "./push-answers-docs.ts";

const at = process.argv.indexOf("--output");
const folder = at < 0 ? "docs" : process.argv[at + 1]!;
writeFileSync(join(folder, "CONFIG.md"), configDocs());
writeFileSync(join(folder, "PERMISSIONS.md"), permissionsDocs());
writeFileSync(join(folder, "PUSH_ANSWERS.md"), pushAnswersDocs());
writeFileSync(join(folder, "openapi.yaml"), openapiDocs(readFileSync(0)));
