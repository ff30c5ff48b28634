/** Writes docs/configuration.md from the schema in src/config.ts. With --check it only compares, and fails on drift. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describeOptions, type OptionInfo, rangeOf } from "../src/config.ts";

const FILE = fileURLToPath(new URL("../docs/configuration.md", import.meta.url));

/** The whole page. */
export function configurationPage(): string {
  const sections = Map.groupBy(describeOptions(), ({ section }) => section ?? "Policy");
  return `# Configuration

Every option has one name. In code it is a path in the object that \`createEngine()\` and \`Service.open()\` take, on the
command line a flag, in the environment a variable, in a YAML file an entry. The flag wins over the environment, the
environment over the file, the file over the default.

| in code | flag | environment |
|---|---|---|
| \`{ window: { hopMs: 250 } }\` | \`--window-hop-ms 250\` | \`TONETAP_WINDOW_HOP_MS=250\` |
| \`{ whip: { iceServers: ["stun:a", "stun:b"] } }\` | \`--whip-ice-servers stun:a,stun:b\` | \`TONETAP_WHIP_ICE_SERVERS=stun:a,stun:b\` |

A file is named by \`--config tonetap.yaml\`, or by \`TONETAP_CONFIG\`:

\`\`\`yaml
service:
  port: 9000
window:
  hopMs: 250
\`\`\`

\`tonetap config\` prints what is in force and where each value comes from, secrets hidden. A wrong value is refused at the
start, with the option's name, its range and what came: \`window.hopMs must be 50–5000, got -3\`. So is a name that is none,
in the file or among variables that begin with \`TONETAP_\`: \`unknown option service.prot, did you mean service.port?\`

${[...sections].map(([title, options]) => table(title, options)).join("\n")}
This page is generated from \`src/config.ts\` by \`npm run generate\`.
`;
}

function table(title: string, options: readonly OptionInfo[]): string {
  const rows = options.map((option) => {
    const standard =
      Array.isArray(option.standard) || option.standard === "" ? "none" : `\`${String(option.standard)}\``;
    return `| \`${option.path}\` | ${standard} | ${rangeOf(option).replace("one of ", "")} | ${option.meaning} |\n`;
  });
  return `## ${title}\n\n| option | default | range | meaning |\n|---|---|---|---|\n${rows.join("")}`;
}

if (import.meta.main) {
  if (process.argv.includes("--check")) {
    if (readFileSync(FILE, "utf8") !== configurationPage()) {
      console.error("docs/configuration.md differs from src/config.ts: run npm run generate");
      process.exitCode = 1;
    }
  } else writeFileSync(FILE, configurationPage());
}
