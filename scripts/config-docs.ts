/** docs/CONFIG.md, made from the config schemas. */
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

/** The text of the document. */
export function configDocs(): string {
  return [
    "# Configuration\n",
    "Generated from the config schemas by `make gen`. A malformed value is an error that names the",
    "variable; all problems are reported at once.\n",
    ...Object.entries(sections).map(([title, schema]) => section(title, schema)),
  ].join("\n");
}

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
