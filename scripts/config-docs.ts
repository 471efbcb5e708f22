/** Writes docs/CONFIG.md from the config schemas; `--output FILE` writes elsewhere. */
import { writeFileSync } from "node:fs";
import { clusterConfig } from "../deploy/cluster-command.ts";
import { serverPortsConfig } from "../deploy/servers/main.ts";
import type { ConfigSchema } from "../mesh/config.ts";
import { allConfigs } from "../run.ts";
import { serversConfig } from "../servers-config.ts";

const sections: Readonly<Record<string, ConfigSchema>> = {
  ...allConfigs,
  "A role by itself": serversConfig,
  "`parley cluster`": clusterConfig,
  "`parley servers`": serverPortsConfig,
};

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
  ...Object.entries(sections).map(([title, schema]) => section(title, schema)),
].join("\n");

const at = process.argv.indexOf("--output");
writeFileSync(at < 0 ? "docs/CONFIG.md" : process.argv[at + 1]!, text);
