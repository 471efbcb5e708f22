/** Writes docs/CONFIG.md from the config schemas; `--output FILE` writes elsewhere. */
import { writeFileSync } from "node:fs";
import type { ConfigSchema } from "../mesh/config.ts";
import { allConfigs } from "../run.ts";

function section(title: string, schema: ConfigSchema): string {
  const rows = Object.values(schema).map(({ env, default: value, unit, secret, description }) => {
    const shown = secret ? "(secret)" : value === "" ? "(empty)" : `\`${value}\``;
    return `| \`${env}\` | ${shown} | ${unit} | ${description} |`;
  });
  return [
    `## ${title}\n`,
    "| variable | default | unit | what it does |",
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

const text = [
  "# Configuration\n",
  "Generated from the config schemas by `make gen`. A malformed value is an error that names the",
  "variable; all problems are reported at once.\n",
  ...Object.entries(allConfigs).map(([title, schema]) => section(title, schema)),
].join("\n");

const at = process.argv.indexOf("--output");
writeFileSync(at < 0 ? "docs/CONFIG.md" : process.argv[at + 1]!, text);
