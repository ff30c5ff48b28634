/** Arguments of a benchmark: one table says what there is, what it may be and what `--help` tells. What they mean is the benchmark's. */
import { parseArgs } from "node:util";
import { TonetapError } from "../src/core/errors.ts";

interface Option {
  readonly says: string;
}

export interface NumberOption extends Option {
  readonly kind: "number";
  readonly min: number;
  readonly max: number;
  readonly default?: number;
}

/** Several, with commas between them. */
export interface NumbersOption extends Option {
  readonly kind: "numbers";
  readonly min: number;
  readonly max: number;
}

export interface TextOption extends Option {
  readonly kind: "text";
  /** What stands for it in the help. */
  readonly value: string;
  readonly default?: string;
}

export interface ChoiceOption extends Option {
  readonly kind: "choice";
  readonly of: readonly string[];
  readonly default?: string;
}

export interface FlagOption extends Option {
  readonly kind: "flag";
}

export type BenchOption = NumberOption | NumbersOption | TextOption | ChoiceOption | FlagOption;
export type BenchOptions = Readonly<Record<string, BenchOption>>;

type Given<O extends BenchOption> = O extends FlagOption
  ? boolean
  : O extends NumbersOption
    ? readonly number[] | undefined
    : O extends NumberOption
      ? O extends { readonly default: number }
        ? number
        : number | undefined
      : O extends ChoiceOption
        ? O["of"][number] | (O extends { readonly default: string } ? never : undefined)
        : O extends { readonly default: string }
          ? string
          : string | undefined;

export type BenchValues<T extends BenchOptions> = { readonly [Name in keyof T]: Given<T[Name]> };

export interface Bench<T extends BenchOptions> {
  /** As in `npm run bench -- NAME`. */
  readonly name: string;
  readonly about: string;
  readonly options: T;
}

/** What a benchmark was asked for. What it cannot be asked for is named, and ends the process with 2. */
export function benchArguments<const T extends BenchOptions>(
  bench: Bench<T>,
  args: readonly string[] = process.argv.slice(2),
): BenchValues<T> {
  try {
    return readArguments(bench, args);
  } catch (error) {
    console.error(`bench ${bench.name}: ${TonetapError.from(error).message}\n\n${usageOf(bench)}`);
    process.exit(2);
  }
}

/** @throws TonetapError invalid-argument, TypeError of parseArgs() */
export function readArguments<const T extends BenchOptions>(
  { options }: Bench<T>,
  args: readonly string[],
): BenchValues<T> {
  const { values } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      Object.entries(options).map(([name, { kind }]) => [
        name,
        { type: kind === "flag" ? ("boolean" as const) : ("string" as const) },
      ]),
    ),
  });
  const read = Object.entries(options).map(([name, option]) => [
    name,
    valueGiven(name, option, values[name]),
  ]);
  return Object.fromEntries(read) as BenchValues<T>;
}

function valueGiven(name: string, option: BenchOption, given: string | boolean | undefined): unknown {
  const text = typeof given === "string" ? given : undefined;
  switch (option.kind) {
    case "flag":
      return given === true;
    case "text":
      return text ?? option.default;
    case "number":
      return text === undefined ? option.default : numberOf(name, text, option);
    case "numbers":
      return text?.split(",").map((one) => numberOf(name, one, option));
    case "choice":
      if (text === undefined || option.of.includes(text)) return text ?? option.default;
      throw new TonetapError("invalid-argument", `--${name} must be ${option.of.join(" or ")}, got ${text}`);
    default:
      return option satisfies never;
  }
}

/** Whole where its limits are. */
function numberOf(name: string, text: string, { min, max }: NumberOption | NumbersOption): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  const whole = Number.isInteger(min) && Number.isInteger(max);
  if (value >= min && value <= max && (!whole || Number.isInteger(value))) return value;
  const what = whole ? "a whole number, " : "";
  throw new TonetapError("invalid-argument", `--${name} must be ${what}${min}–${max}, got ${text}`);
}

/** What `--help` prints. */
export function usageOf({ name, about, options }: Bench<BenchOptions>): string {
  const rows = Object.entries(options).map(([option, spec]) => [`--${option}${placeOf(spec)}`, tellOf(spec)]);
  rows.push(["--help", "this"]);
  const width = Math.max(...rows.map(([left = ""]) => left.length));
  return [
    `npm run bench -- ${name} [options]`,
    `  ${about}`,
    "",
    ...rows.map(([left = "", right = ""]) => `  ${left.padEnd(width)}  ${right}`),
  ].join("\n");
}

function placeOf(option: BenchOption): string {
  switch (option.kind) {
    case "flag":
      return "";
    case "number":
      return " N";
    case "numbers":
      return " N,N";
    case "text":
      return ` ${option.value}`;
    case "choice":
      return ` ${option.of.join("|")}`;
    default:
      return option satisfies never;
  }
}

function tellOf(option: BenchOption): string {
  const range = option.kind === "number" || option.kind === "numbers" ? `, ${option.min}–${option.max}` : "";
  const standard = "default" in option && option.default !== undefined ? ` (default ${option.default})` : "";
  return `${option.says}${range}${standard}`;
}
