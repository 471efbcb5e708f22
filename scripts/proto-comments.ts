/** The comments of the contracts, which descriptors keep apart from what they are about. */
import type {
  DescriptorProto,
  EnumDescriptorProto,
  FileDescriptorProto,
} from "@bufbuild/protobuf/wkt";

/** Comments by full name: "parley.message.v1.Message.text". A paragraph is one line. */
export function protoComments(files: readonly FileDescriptorProto[]): ReadonlyMap<string, string> {
  return new Map(files.flatMap((file) => [...new FileComments(file).all]));
}

/** A place in a file is a path of field numbers of descriptor.proto, and indices. */
class FileComments {
  readonly all = new Map<string, string>();
  private readonly texts: ReadonlyMap<string, string>;

  constructor(file: FileDescriptorProto) {
    const locations = file.sourceCodeInfo?.location ?? [];
    this.texts = new Map(locations.map((each) => [each.path.join(), each.leadingComments]));
    file.messageType.forEach((each, at) => {
      this.message(each, file.package, [4, at]);
    });
    file.enumType.forEach((each, at) => {
      this.enum(each, file.package, [5, at]);
    });
    file.service.forEach((service, at) => {
      const name = this.take(file.package, service, [6, at]);
      service.method.forEach((each, index) => {
        this.take(name, each, [6, at, 2, index]);
      });
    });
  }

  private message(message: DescriptorProto, parent: string, path: number[]): void {
    const name = this.take(parent, message, path);
    message.field.forEach((each, at) => {
      this.take(name, each, [...path, 2, at]);
    });
    message.nestedType.forEach((each, at) => {
      this.message(each, name, [...path, 3, at]);
    });
    message.enumType.forEach((each, at) => {
      this.enum(each, name, [...path, 4, at]);
    });
  }

  private enum(type: EnumDescriptorProto, parent: string, path: number[]): void {
    const name = this.take(parent, type, path);
    type.value.forEach((each, at) => {
      this.take(name, each, [...path, 2, at]);
    });
  }

  private take(parent: string, { name }: { name: string }, path: number[]): string {
    const fullName = `${parent}.${name}`;
    this.all.set(fullName, asParagraphs(this.texts.get(path.join()) ?? ""));
    return fullName;
  }
}

function asParagraphs(comment: string): string {
  const paragraphs = comment.split(/\n[ \t]*\n/);
  return paragraphs.map((text) => text.replace(/\s+/g, " ").trim()).join("\n\n");
}
