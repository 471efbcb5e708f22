/** Messages of the contracts as JSON schemas (2020-12): what they look like in proto3's JSON. */
import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";

/** A schema, as it is written. */
export type Schema = Readonly<Record<string, unknown>>;

/** The schemas of messages, and of all that is in them. */
export class OpenapiSchemas {
  /** By type name, of everything that was referred to. */
  readonly all = new Map<string, Schema>();
  private readonly comments: ReadonlyMap<string, string>;

  constructor(comments: ReadonlyMap<string, string>) {
    this.comments = comments;
  }

  /** Refers to a message's schema, and makes it where it is not there yet. */
  refer(type: DescMessage | DescEnum): Schema {
    const known = type.kind === "message" ? wellKnown[type.typeName] : undefined;
    if (known) return known;
    if (!this.all.has(type.typeName)) {
      // Its place is taken first: a message may be in itself.
      this.all.set(type.typeName, {});
      this.all.set(type.typeName, type.kind === "enum" ? this.enum(type) : this.message(type));
    }
    return { $ref: `#/components/schemas/${type.typeName}` };
  }

  /** What JSON leaves out has its default value: no member is required. */
  private message(type: DescMessage): Schema {
    const oneofs = type.oneofs.map(({ fields }) => fields.map(({ jsonName }) => jsonName));
    const notes = oneofs.map((names) => `At most one of ${names.join(", ")} is set.`);
    const fields = type.fields.map((field) => [field.jsonName, this.field(field)]);
    return {
      type: "object",
      description: [this.comments.get(type.typeName), ...notes].join("\n\n"),
      properties: Object.fromEntries(fields),
    };
  }

  private enum(type: DescEnum): Schema {
    const values = type.values.map(
      ({ name }) => `- \`${name}\`: ${this.comments.get(`${type.typeName}.${name}`)}`,
    );
    return {
      type: "string",
      description: [this.comments.get(type.typeName), values.join("\n")].join("\n\n"),
      enum: type.values.map(({ name }) => name),
    };
  }

  private field(field: DescField): Schema {
    const description = this.comments.get(`${field.parent.typeName}.${field.name}`) ?? "";
    if (field.fieldKind === "list") {
      return { type: "array", description, ...itemLimits(description), items: this.value(field) };
    }
    if (field.fieldKind === "map") {
      return { type: "object", description, additionalProperties: this.value(field) };
    }
    const limits = field.scalar === ScalarType.STRING ? lengthLimits(description) : {};
    return { ...this.value(field), ...limits, description };
  }

  private value(field: DescField): Schema {
    if (field.message) return this.refer(field.message);
    if (field.enum) return this.refer(field.enum);
    return scalars[field.scalar!];
  }
}

const int32 = { type: "integer", format: "int32" };
const uint32 = { type: "integer", format: "int64", minimum: 0, maximum: 2 ** 32 - 1 };
// Also taken as a number, but JavaScript would round it.
const int64 = { type: "string", format: "int64", pattern: "^-?[0-9]+$", examples: ["0"] };
const uint64 = { ...int64, pattern: "^[0-9]+$" };
const number = { type: "number" };
const scalars: Readonly<Record<ScalarType, Schema>> = {
  [ScalarType.STRING]: { type: "string" },
  [ScalarType.BOOL]: { type: "boolean" },
  [ScalarType.BYTES]: { type: "string", contentEncoding: "base64" },
  [ScalarType.FLOAT]: number,
  [ScalarType.DOUBLE]: number,
  [ScalarType.INT32]: int32,
  [ScalarType.SINT32]: int32,
  [ScalarType.SFIXED32]: int32,
  [ScalarType.UINT32]: uint32,
  [ScalarType.FIXED32]: uint32,
  [ScalarType.INT64]: int64,
  [ScalarType.SINT64]: int64,
  [ScalarType.SFIXED64]: int64,
  [ScalarType.UINT64]: uint64,
  [ScalarType.FIXED64]: uint64,
};

const wellKnown: Readonly<Record<string, Schema>> = {
  "google.protobuf.Timestamp": { type: "string", format: "date-time" },
  "google.protobuf.Duration": { type: "string", pattern: "^-?[0-9]+(\\.[0-9]+)?s$" },
};

const count = (text: string) => Number(text.replaceAll(",", ""));

/** The length of a text as its comment has it. JSON Schema counts code points too. */
function lengthLimits(comment: string): Schema {
  const [, min, max] = /^([\d,]+) to ([\d,]+) (?:of|(?:Unicode )?code points)/.exec(comment) ?? [];
  const [, only] = /at most ([\d,]+) (?:code points|characters)/i.exec(comment) ?? [];
  const isOptional = /\bempty\b/.test(comment);
  return {
    ...(min && !isOptional && { minLength: count(min) }),
    ...((max ?? only) && { maxLength: count((max ?? only)!) }),
  };
}

/** The length of a list as its comment has it. */
function itemLimits(comment: string): Schema {
  const [, min, max] = /^([\d,]+) to ([\d,]+) (?:users|channels)\b/.exec(comment) ?? [];
  const [, only] = /\bat most ([\d,]*\d)(?=[.;:,)]| users| members)/i.exec(comment) ?? [];
  return {
    ...(min && { minItems: count(min) }),
    ...((max ?? only) && { maxItems: count((max ?? only)!) }),
  };
}
