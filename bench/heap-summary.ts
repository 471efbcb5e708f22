import { readFileSync } from "node:fs";

/** Objects of one kind in a heap. */
export interface HeapKind {
  /** The constructor's name, or what V8 calls it. */
  name: string;
  count: number;
  bytes: number;
}

/** V8's snapshot: nodes in one array, `node_fields` numbers each. */
interface HeapSnapshot {
  snapshot: { meta: { node_fields: string[]; node_types: [string[], ...unknown[]] } };
  nodes: number[];
  strings: string[];
}

/** What a heap snapshot's file holds, by kind, the largest first. */
export function summarizeHeap(path: string): HeapKind[] {
  const { snapshot, nodes, strings } = JSON.parse(readFileSync(path, "utf8")) as HeapSnapshot;
  const { node_fields: fields, node_types: types } = snapshot.meta;
  const [type, name, size] = ["type", "name", "self_size"].map((field) => fields.indexOf(field));
  const kinds = new Map<string, HeapKind>();
  for (let at = 0; at < nodes.length; at += fields.length) {
    const typeName = types[0][nodes[at + type!]!]!;
    const own = strings[nodes[at + name!]!]!;
    // Every string and every piece of code has another name.
    const hasKind = typeName === "object" || typeName === "native" || typeName === "closure";
    const key = hasKind ? `${own || "(anonymous)"} (${typeName})` : `(${typeName})`;
    const kind = kinds.get(key) ?? { name: key, count: 0, bytes: 0 };
    kind.count++;
    kind.bytes += nodes[at + size!]!;
    kinds.set(key, kind);
  }
  return [...kinds.values()].sort((a, b) => b.bytes - a.bytes);
}
