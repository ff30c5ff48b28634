/** What --help prints. Which commands there are is cli.ts, which options config.ts. */
import { describeOptions, type OptionInfo, rangeOf } from "./config.ts";

export interface Described {
  readonly usage: string;
  readonly meaning: string;
  readonly flagHelp?: Readonly<Record<string, string>>;
  /** It takes the configuration's flags too; a function says which of them mean anything to it. */
  readonly configured: boolean | ((option: OptionInfo) => boolean);
  /** Values that options have here in place of their defaults, by path. */
  readonly defaults?: Readonly<Record<string, string>>;
}

/** The options of the configuration that a command takes. */
export const optionsOf = ({ configured }: Pick<Described, "configured">): readonly OptionInfo[] =>
  configured === false ? [] : describeOptions().filter((option) => configured === true || configured(option));

/** What there is. */
export function help(version: string, commands: readonly Described[]): string {
  const rows = commands.map(({ usage, meaning }) => `  ${usage}\n      ${meaning}`);
  return `Tonetap ${version}: hear emotion in live calls.\n\n${rows.join("\n")}\n\nOptions of a command: tonetap COMMAND --help\n`;
}

/** Where the terminal does not say. */
const COLUMNS = 100;
/** Columns before what a flag means. */
const INDENT = 32;

/** One command's flags, under the headings of the configuration. @param columns of the terminal */
export function commandHelp(command: Described, columns = COLUMNS): string {
  const lines = [command.usage, command.meaning];
  const own = Object.entries(command.flagHelp ?? {});
  if (own.length > 0) lines.push("");
  for (const [flag, meaning] of own) lines.push(...flagHelp(flag, meaning, columns));
  if (command.configured === false) return `${lines.join("\n")}\n`;
  let title: string | undefined;
  for (const option of optionsOf(command)) {
    if (option.section !== title) lines.push("", option.section ?? "Policy");
    title = option.section;
    lines.push(...flagHelp(option.flag, `${option.meaning} ${permitted(option, command.defaults)}`, columns));
  }
  lines.push(
    "",
    "The environment can say each, too: --window-hop-ms is TONETAP_WINDOW_HOP_MS;",
    "and a YAML file, which --config or TONETAP_CONFIG names: window: {hopMs: 250}.",
  );
  return `${lines.join("\n")}\n`;
}

/** Its values and its default in brackets, as far as they say anything. */
function permitted(option: OptionInfo, defaults: Described["defaults"] = {}): string {
  const values = rangeOf(option).replace("one of ", "").replace("a list of texts", "a,b,c");
  const standard = defaults[option.path] ?? String(option.standard);
  const said = [
    ...(option.type === "string" ? [] : [values]),
    ...(standard === "" ? [] : [`default ${standard}`]),
  ];
  return said.length === 0 ? "" : `(${said.join("; ")})`;
}

/** The flag on a line of its own when it is long, its meaning wrapped beside it. */
function flagHelp(flag: string, meaning: string, columns: number): string[] {
  const width = Math.max(40, columns - INDENT);
  const lines = [""];
  for (const word of meaning.trim().split(" ")) {
    const line = lines.at(-1) ?? "";
    if (line === "") lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  const [first = "", ...others] = lines;
  const name = `  ${flag}`;
  const rest = others.map((line) => " ".repeat(INDENT) + line);
  return name.length < INDENT
    ? [name.padEnd(INDENT) + first, ...rest]
    : [name, " ".repeat(INDENT) + first, ...rest];
}
