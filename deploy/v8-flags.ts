import { readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");

/** The flags that `parley` runs with: package.json's script is the one place that has them. */
export function parleyFlags(): string[] {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const [node, ...rest] = (scripts.parley as string).split(" ");
  const entry = rest.indexOf("parley.ts");
  if (node !== "node" || entry < 0) {
    throw new Error(`package.json: the script "parley" is not "node … parley.ts"`);
  }
  return rest.slice(0, entry);
}
