/** The options of a schema one by one: as flags, environment names, lines of documentation. Which there are is config.ts. */
import { z } from "zod";

/** One leaf of the schema, for flags, environment and documentation. */
export interface OptionInfo {
  /** `section.name` as in the configuration object. */
  readonly path: string;
  /** What its section is about; undefined for an option outside of one. */
  readonly section?: string;
  /** `--section-name`. */
  readonly flag: string;
  /** `TONETAP_SECTION_NAME`. */
  readonly env: string;
  readonly type: "number" | "string" | "list" | "choice" | "json";
  /** Of a number: what may stand instead of one. */
  readonly word?: string;
  readonly choices?: readonly string[];
  readonly min?: number;
  readonly max?: number;
  readonly standard: unknown;
  readonly meaning: string;
  /** Its value is not to be shown. */
  readonly secret: boolean;
}

interface JsonSchemaNode {
  readonly properties?: Readonly<Record<string, JsonSchemaNode>>;
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly items?: JsonSchemaNode;
  readonly anyOf?: readonly JsonSchemaNode[];
  readonly const?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  readonly description?: string;
  readonly secret?: boolean;
}

const kebab = (path: string): string =>
  path
    .replaceAll("MiB", "Mib")
    .replaceAll(".", "-")
    .replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Of a number, or of a number that a word may stand for. */
function rangeIn({ minimum, maximum, anyOf = [] }: JsonSchemaNode): Pick<OptionInfo, "min" | "max" | "word"> {
  const word = anyOf.find((node) => node.const !== undefined)?.const;
  const number = anyOf.find((node) => node.minimum !== undefined);
  const min = minimum ?? number?.minimum;
  const max = maximum ?? number?.maximum;
  return {
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    ...(word === undefined ? {} : { word }),
  };
}

/** Every option of a schema, in its order. */
export function optionsOf(schema: z.ZodType): OptionInfo[] {
  const options: OptionInfo[] = [];
  const walk = (node: JsonSchemaNode, path: string, section?: string): void => {
    for (const [name, child] of Object.entries(node.properties ?? {})) {
      const childPath = path === "" ? name : `${path}.${name}`;
      if (child.properties !== undefined) {
        walk(child, childPath, child.description);
        continue;
      }
      const flag = kebab(childPath);
      options.push({
        path: childPath,
        ...(section === undefined ? {} : { section }),
        flag: `--${flag}`,
        env: `TONETAP_${flag.replaceAll("-", "_").toUpperCase()}`,
        type:
          child.enum !== undefined
            ? "choice"
            : child.type === "array"
              ? child.items?.type === "object"
                ? "json"
                : "list"
              : child.type === "string"
                ? "string"
                : "number",
        ...(child.enum === undefined ? {} : { choices: child.enum }),
        ...rangeIn(child),
        standard: child.default,
        meaning: child.description ?? "",
        secret: child.secret ?? false,
      });
    }
  };
  walk(z.toJSONSchema(schema, { io: "input" }) as JsonSchemaNode, "");
  return options;
}

/** The permitted values of an option in words: `5–1000`, `one of eu, none`, `a text`. */
export function rangeOf(option: OptionInfo): string {
  if (option.choices !== undefined) return `one of ${option.choices.join(", ")}`;
  if (option.type === "number") {
    const range = `${option.min}–${option.max}`;
    return option.word === undefined ? range : `${range} or ${option.word}`;
  }
  if (option.type === "json") return "a list of objects, as JSON";
  return option.type === "list" ? "a list of texts" : "a text";
}

/** What a flag or an environment variable says. What cannot be read stays text, for parseConfig() to name. */
export function fromText({ type }: OptionInfo, raw: string): unknown {
  switch (type) {
    case "number":
      return raw.trim() === "" || Number.isNaN(Number(raw)) ? raw : Number(raw);
    case "list":
      return raw
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== "");
    case "json":
      try {
        return JSON.parse(raw);
      } catch {
        return raw;
      }
    case "string":
    case "choice":
      return raw;
    default:
      return type satisfies never;
  }
}
