/** docs/openapi.yaml: the HTTP API, made from the contracts and their comments. */
import {
  createFileRegistry,
  type DescMethod,
  type DescService,
  fromBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { stringify } from "yaml";
import { Caller } from "../gen/parley/rpc/v1/method_rules_pb.js";
import { methodPath, methodPolicy } from "../mesh/methods.ts";
import { readRefusals } from "./openapi-errors.ts";
import { OpenapiSchemas, type Schema } from "./openapi-schemas.ts";
import { errorSchemas, intro, problemResponse, refusedResponse } from "./openapi-texts.ts";
import { protoComments } from "./proto-comments.ts";

/**
 * The text of the document: every method that callers outside may call by HTTP.
 * @param contracts what `buf build` writes
 */
export function openapiDocs(contracts: Uint8Array): string {
  const set = fromBinary(FileDescriptorSetSchema, contracts);
  const comments = protoComments(set.file);
  const schemas = new OpenapiSchemas(comments);
  const methods = [...createFileRegistry(set)]
    .filter((type): type is DescService => type.kind === "service")
    .flatMap(({ methods }) => methods)
    .filter((method) => method.methodKind === "unary")
    .filter((method) => methodPolicy(method).caller !== Caller.UNSPECIFIED)
    .sort((a, b) => (methodPath(a) < methodPath(b) ? -1 : 1));
  const services = [...new Set(methods.map(({ parent }) => parent))];
  const paths = methods.map((method) => [
    methodPath(method),
    { post: operation(method, comments, schemas) },
  ]);
  const document = {
    openapi: "3.1.1",
    info: { title: "Parley", version: "v1", description: intro, license },
    servers: [{ url: "/", description: "The edge that serves this document." }],
    security: [{ accessToken: [] }],
    tags: services.map(({ name, typeName }) => ({ name, description: comments.get(typeName) })),
    paths: Object.fromEntries(paths),
    components: {
      securitySchemes: { accessToken },
      responses: { Problem: problemResponse },
      schemas: {
        ...Object.fromEntries([...schemas.all].sort(([a], [b]) => (a < b ? -1 : 1))),
        ...errorSchemas,
      },
    },
  };
  return `# Generated from proto/ by \`make gen\`.\n${stringify(document, { lineWidth: 100, aliasDuplicateObjects: false })}`;
}

function operation(
  method: DescMethod,
  comments: ReadonlyMap<string, string>,
  schemas: OpenapiSchemas,
): Schema {
  const { parent, name, input, output } = method;
  const comment = comments.get(`${parent.typeName}.${name}`)!;
  const json = (schema: Schema) => ({ "application/json": { schema } });
  const responses = [...readRefusals(commentsOnErrors(method, comments))].map(
    ([status, reasons]) => [status, refusedResponse(status, [...reasons])],
  );
  return {
    tags: [parent.name],
    operationId: `${parent.name}_${name}`,
    summary: /^.*?\.(?= |\n|$)/s.exec(comment)![0],
    description: comment,
    ...(methodPolicy(method).caller === Caller.ANYONE && { security: [] }),
    requestBody: { required: true, content: json(schemas.refer(input)) },
    responses: {
      200: { description: comments.get(output.typeName), content: json(schemas.refer(output)) },
      ...Object.fromEntries(responses),
      default: { $ref: "#/components/responses/Problem" },
    },
  };
}

/** Its own, its service's, and those of the method that it is said to be like ("As EditMessage"). */
function commentsOnErrors(method: DescMethod, comments: ReadonlyMap<string, string>): string[] {
  const service = method.parent.typeName;
  const own = comments.get(`${service}.${method.name}`)!;
  const like = /(?:^|\n)As (\w+)/.exec(own)?.[1];
  const needsToken = methodPolicy(method).caller === Caller.DEVICE;
  return [
    own,
    comments.get(`${service}.${like}`) ?? "",
    comments.get(service)!,
    needsToken
      ? "UNAUTHENTICATED (TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_REVOKED)"
      : "",
  ];
}

const license = { name: "Apache-2.0", identifier: "Apache-2.0" };

const accessToken = {
  type: "http",
  scheme: "bearer",
  bearerFormat: "JWT",
  description: "The `accessToken` that SignUp, LogIn or RefreshTokens answered.",
};
