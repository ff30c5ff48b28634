/**
 * A strict reader of the PromQL that dashboards and alerts of ours use: anything else is an error. It says which series an
 * expression needs; whether they are there is the test's to see. https://prometheus.io/docs/prometheus/latest/querying/basics
 */

export interface Matcher {
  readonly label: string;
  readonly op: "=" | "!=" | "=~" | "!~";
  readonly value: string;
}

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
}

export interface Query {
  readonly selectors: readonly Selector[];
  /** Labels that results are grouped or matched by. */
  readonly labels: readonly string[];
}

type Type = "scalar" | "vector" | "range";

const AGGREGATORS = new Set(["sum", "min", "max", "avg", "count"]);
const FUNCTIONS: Readonly<Record<string, { readonly takes: readonly Type[]; readonly gives: Type }>> = {
  rate: { takes: ["range"], gives: "vector" },
  increase: { takes: ["range"], gives: "vector" },
  histogram_quantile: { takes: ["scalar", "vector"], gives: "vector" },
  vector: { takes: ["scalar"], gives: "vector" },
};
const SETS = new Set(["and", "or", "unless"]);
const COMPARISONS = new Set(["==", "!=", ">", "<", ">=", "<="]);
const TOKEN =
  /\s*(?:([a-zA-Z_:][\w:]*)|(\d+(?:\.\d+)?)(?![\w.])|"((?:[^"\\]|\\.)*)"|\[([^\]]*)\]|(==|!=|=~|!~|>=|<=|[-+*/%^(){},=<>]))/y;

interface Token {
  readonly kind: "name" | "number" | "string" | "range" | "sign";
  readonly text: string;
}

/** @throws SyntaxError where it is no PromQL, or not of the kind known here */
export function readPromQL(expression: string): Query {
  return new Reader(expression).read();
}

class Reader {
  readonly #expression: string;
  readonly #tokens: Token[];
  readonly #selectors: Selector[] = [];
  readonly #labels: string[] = [];
  #at = 0;

  constructor(expression: string) {
    this.#expression = expression;
    this.#tokens = tokensOf(expression);
  }

  read(): Query {
    const type = this.#operation();
    if (this.#at < this.#tokens.length) this.#fail("nothing more");
    if (type === "range") this.#fail("an instant vector or a number at the top");
    return { selectors: this.#selectors, labels: this.#labels };
  }

  #operation(): Type {
    let left = this.#operand();
    for (let token = this.#peek(); token !== undefined; token = this.#peek()) {
      const isArithmetic = token.kind === "sign" && /^[-+*/%^]$/.test(token.text);
      const isSet = token.kind === "name" && SETS.has(token.text);
      const isComparison = token.kind === "sign" && COMPARISONS.has(token.text);
      if (!isArithmetic && !isSet && !isComparison) break;
      this.#at++;
      if (this.#takes("on") || this.#takes("ignoring")) this.#labelList();
      const right = this.#operand();
      if (left === "range" || right === "range") this.#fail("instant vectors or numbers beside an operator");
      if (isSet && (left !== "vector" || right !== "vector")) this.#fail(`vectors beside ${token.text}`);
      left = left === "vector" || right === "vector" ? "vector" : "scalar";
    }
    return left;
  }

  #operand(): Type {
    const token = this.#next();
    if (token.kind === "number") return "scalar";
    if (token.text === "(" && token.kind === "sign") {
      const type = this.#operation();
      this.#expect(")");
      return type;
    }
    if (token.kind !== "name") this.#fail("a number, a metric, a function or (");
    if (AGGREGATORS.has(token.text)) return this.#aggregation();
    const known = FUNCTIONS[token.text];
    return known === undefined ? this.#selector(token.text) : this.#call(token.text, known);
  }

  #aggregation(): Type {
    if (this.#takes("by") || this.#takes("without")) this.#labelList();
    this.#expect("(");
    if (this.#operation() !== "vector") this.#fail("an instant vector to aggregate");
    this.#expect(")");
    if (this.#takes("by") || this.#takes("without")) this.#labelList();
    return "vector";
  }

  #call(name: string, { takes, gives }: (typeof FUNCTIONS)[string]): Type {
    this.#expect("(");
    for (const [i, type] of takes.entries()) {
      if (i > 0) this.#expect(",");
      if (this.#operation() !== type) this.#fail(`a ${type} as argument ${i + 1} of ${name}`);
    }
    this.#expect(")");
    return gives;
  }

  #selector(metric: string): Type {
    const matchers: Matcher[] = [];
    if (this.#takes("{")) {
      while (!this.#takes("}")) {
        if (matchers.length > 0) this.#expect(",");
        const label = this.#next();
        const op = this.#next();
        const value = this.#next();
        if (label.kind !== "name" || value.kind !== "string" || !/^(=|!=|=~|!~)$/.test(op.text))
          this.#fail('label="value"');
        matchers.push({ label: label.text, op: op.text as Matcher["op"], value: value.text });
      }
    }
    this.#selectors.push({ metric, matchers });
    const range = this.#peek();
    if (range?.kind !== "range") return "vector";
    if (!/^(\d+(ms|[smhdwy]))+$|^\$__(rate_)?interval$/.test(range.text)) this.#fail("a duration in []");
    this.#at++;
    return "range";
  }

  #labelList(): void {
    this.#expect("(");
    for (let first = true; !this.#takes(")"); first = false) {
      if (!first) this.#expect(",");
      const label = this.#next();
      if (label.kind !== "name") this.#fail("a label");
      this.#labels.push(label.text);
    }
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  #next(): Token {
    const token = this.#tokens[this.#at];
    if (token === undefined) return this.#fail("more");
    this.#at++;
    return token;
  }

  #takes(text: string): boolean {
    const token = this.#peek();
    const is = token?.text === text && (token.kind === "sign" || token.kind === "name");
    if (is) this.#at++;
    return is;
  }

  #expect(text: string): void {
    if (!this.#takes(text)) this.#fail(text);
  }

  #fail(wanted: string): never {
    const found = this.#tokens[this.#at]?.text ?? "the end";
    throw new SyntaxError(`expected ${wanted}, found ${found}, in ${this.#expression}`);
  }
}

function tokensOf(expression: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < expression.trimEnd().length) {
    const from = TOKEN.lastIndex;
    const match = TOKEN.exec(expression);
    if (match === null) throw new SyntaxError(`no PromQL from ${expression.slice(from)}`);
    const kinds = ["name", "number", "string", "range", "sign"] as const;
    const index = match.slice(1).findIndex((part) => part !== undefined);
    tokens.push({ kind: kinds[index] ?? "sign", text: match[index + 1] ?? "" });
  }
  return tokens;
}
