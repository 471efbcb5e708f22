/** What the documents name must exist: verbs, commands, files. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "..");
const documents = execFileSync("git", ["ls-files", "*.md"], { cwd: root, encoding: "utf8" })
  .split("\n")
  .filter((file) => file !== "");
const textOf = (file: string) => readFileSync(join(root, file), "utf8");
const all = documents.map((file) => ({ file, text: textOf(file) }));

function named(pattern: RegExp): { file: string; name: string }[] {
  return all.flatMap(({ file, text }) =>
    [...text.matchAll(pattern)].map((match) => ({ file, name: match[1]! })),
  );
}

describe("the documents", () => {
  it("name verbs that the Makefile has", () => {
    const verbs = [...textOf("Makefile").matchAll(/^([a-z]+):/gm)].map((match) => match[1]);
    const bad = named(/(?:^|`)make ([a-z]+)/gm).filter(({ name }) => !verbs.includes(name));
    expect(bad).toEqual([]);
  });

  it("[O4] name commands that parley has", () => {
    const usage = execFileSync("npm", ["run", "--silent", "parley", "--", "help"], {
      cwd: root,
      encoding: "utf8",
    });
    const commands = [...usage.matchAll(/^ {2}([a-z-]+) /gm)].map((match) => match[1]);
    const bad = named(/npm run --silent parley -- ([a-z-]+)/g).filter(
      ({ name }) => !commands.includes(name),
    );
    expect(bad).toEqual([]);
  });

  it("link to files that are there", () => {
    const bad = named(/\]\((?!https?:|#)([^)#]+)/g).filter(
      ({ file, name }) => !existsSync(join(root, dirname(file), name)),
    );
    expect(bad).toEqual([]);
  });

  it("name files of the tree by their paths", () => {
    const pattern =
      /`((?:proto|mesh|edge|services|tests|bench|docs|scripts)\/[\w./-]+\.(?:ts|proto|md))`/g;
    const bad = named(pattern).filter(({ name }) => !existsSync(join(root, name)));
    expect(bad).toEqual([]);
  });
});
