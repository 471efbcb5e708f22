/** Whose the time of a CPU profile is. */
import type { CpuProfile, ProfileNode } from "./cpu-profile.ts";

/** The parts that time is divided among. */
export type Part = string;

/**
 * By the source of a frame, the first that fits. The frame nearest to the leaf that fits any
 * decides; frames that fit none (the standard library, Protobuf, metrics) belong to who called
 * them.
 */
const partsBySource: readonly [RegExp, Part][] = [
  [/\/services\/message\/(fan-out|persist|projection|channel-states|message-store)/, "workers"],
  [/\/services\/message\//, "message"],
  [/\/services\/presence\//, "presence"],
  [/\/services\/session\//, "session"],
  [/\/services\/idgen\//, "idgen"],
  [/\/edge\/|\/node_modules\/ws\//, "edge"],
  [/\/mesh\/(inbox-feed|log-feed|subject-feed|channel-)/, "edge"],
  [/\/mesh\/(streams|lmdb)/, "streams"],
  [/\/mesh\/(serve|dial|duplex|turn-batch)|\/@grpc\/|^node:internal\/http2/, "grpc"],
  [/\/node_modules\/(lmdb|msgpackr|ordered-binary)\//, "lmdb"],
];

/** What V8 says instead of a function. */
const special: Readonly<Record<string, Part>> = {
  "(garbage collector)": "garbage collector",
  "(idle)": "idle",
  "(program)": "native code and the kernel",
  "(root)": "native code and the kernel",
};

/** How often each part was found, in samples. */
export function samplesByPart(profile: CpuProfile): Map<Part, number> {
  const paths = pathsOf(profile);
  return countSamples(profile, (node) => partOf(paths.get(node)!));
}

/** The functions with the most samples of their own: "name file:line". */
export function topFunctions(profile: CpuProfile, count: number): [string, number][] {
  const found = countSamples(profile, ({ callFrame }) => {
    const { functionName, url, lineNumber } = callFrame;
    if (url === "") return functionName;
    const file = url.split("/").slice(-3).join("/");
    return `${functionName || "(anonymous)"} ${file}:${lineNumber + 1}`;
  });
  found.delete("(idle)");
  return [...found].sort(([, a], [, b]) => b - a).slice(0, count);
}

function countSamples(profile: CpuProfile, keyOf: (node: ProfileNode) => string) {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const counts = new Map<string, number>();
  for (const id of profile.samples) {
    const key = keyOf(nodes.get(id)!);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** By node: itself and those that called it, the leaf first. */
function pathsOf({ nodes }: CpuProfile): Map<ProfileNode, ProfileNode[]> {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const paths = new Map<ProfileNode, ProfileNode[]>();
  const walk = (node: ProfileNode, above: ProfileNode[]): void => {
    const path = [node, ...above];
    paths.set(node, path);
    for (const id of node.children ?? []) walk(byId.get(id)!, path);
  };
  walk(nodes[0]!, []);
  return paths;
}

function partOf(path: readonly ProfileNode[]): Part {
  const named = special[path[0]!.callFrame.functionName];
  if (named) return named;
  for (const { callFrame } of path) {
    const found = partsBySource.find(([source]) => source.test(callFrame.url));
    if (!found) continue;
    // What message and its workers share is the workers' where they called it.
    const [, part] = found;
    return part === "message" && path.some(isWorkers) ? "workers" : part;
  }
  return "other";
}

function isWorkers({ callFrame }: ProfileNode): boolean {
  return partsBySource[0]![0].test(callFrame.url);
}
