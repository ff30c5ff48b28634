/** Dashboard and alerts against what a running service really measures: every expression, metric, label and value of one. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { sleep, systemClock } from "../../src/core/clock.ts";
import { Service } from "../../src/service.ts";
import { sendImpaired } from "../engine/impaired-sender.ts";
import { attachUdp, PATIENT_MODEL, recordedFrames, upTo } from "../engine/support.ts";
import { type Matcher, readPromQL } from "../support/promql.ts";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

/** The part of Grafana's dashboard schema that ours has. */
const dashboardSchema = z.object({
  uid: z.string().max(40),
  title: z.string().min(1),
  schemaVersion: z.number().int().min(36),
  templating: z.object({
    list: z.array(z.object({ name: z.string(), type: z.enum(["datasource", "query"]), query: z.string() })),
  }),
  panels: z
    .array(
      z.object({
        id: z.number().int().positive(),
        title: z.string().min(1),
        type: z.enum(["stat", "timeseries", "gauge", "table", "heatmap", "row"]),
        datasource: z.object({ type: z.literal("prometheus"), uid: z.string().regex(/^\$\{datasource\}$/) }),
        gridPos: z.object({
          x: z.number().int().min(0).max(23),
          y: z.number().int().min(0),
          w: z.number().int().min(1).max(24),
          h: z.number().int().min(1),
        }),
        targets: z.array(z.object({ refId: z.string().regex(/^[A-Z]$/), expr: z.string().min(1) })).min(1),
      }),
    )
    .min(10),
});

/** Labels that Prometheus adds when it scrapes. */
const SCRAPED = ["job", "instance"];

/** metric → label → the values that its series have. */
type Series = Map<string, Map<string, Set<string>>>;

function seriesOf(text: string): Series {
  const series: Series = new Map();
  for (const line of text.split("\n")) {
    const [, metric = "", labels = ""] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    if (metric === "") continue;
    const values = series.get(metric) ?? new Map<string, Set<string>>();
    series.set(metric, values);
    for (const [, label = "", value = ""] of labels.matchAll(/(\w+)="([^"]*)"/g)) {
      values.set(label, (values.get(label) ?? new Set()).add(value));
    }
  }
  return series;
}

const fits = ({ op, value }: Matcher, found: string): boolean => {
  const is = op === "=" || op === "!=" ? found === value : new RegExp(`^(?:${value})$`).test(found);
  return op === "=" || op === "=~" ? is : !is;
};

describe("what Prometheus is asked", () => {
  let series: Series;
  beforeAll(async () => {
    await using service = await Service.open({
      service: { port: 0 },
      model: PATIENT_MODEL,
      shards: { count: 1 },
      events: { qualityMs: 500 },
    });
    const source = await attachUdp(service.engine, "anna", { callId: "c1" });
    await sendImpaired(upTo(await recordedFrames("anna"), 5_000), source.address.port, {
      loss: 0,
      duplicate: 0,
      reorder: 0,
    });
    await source.close();
    const scrape = async (): Promise<string> => (await fetch(new URL("metrics", service.url))).text();
    let text = await scrape();
    // The hook's own time limit ends it.
    while (!/^tonetap_window_latency_seconds_count\{.*\} [1-9]/m.test(text)) {
      await sleep(systemClock, 100);
      text = await scrape();
    }
    series = seriesOf(text);
  });
  afterAll(() => series?.clear());

  /** Throws unless Prometheus would find series for all of it. */
  function check(expression: string): void {
    const { selectors, labels } = readPromQL(expression);
    expect(selectors.length, expression).toBeGreaterThan(0);
    const known = new Set(SCRAPED);
    for (const { metric, matchers } of selectors) {
      const found = series.get(metric);
      expect(found, `${metric} of ${expression}`).toBeDefined();
      for (const label of found?.keys() ?? []) known.add(label);
      for (const matcher of matchers) {
        if (SCRAPED.includes(matcher.label)) continue;
        const values = [...(found?.get(matcher.label) ?? [])];
        expect(
          values.some((value) => fits(matcher, value)),
          `${matcher.label} of ${metric}: ${values}`,
        ).toBe(true);
      }
    }
    for (const label of labels) expect([...known], `${label} of ${expression}`).toContain(label);
  }

  test("each of the 15 or more expressions of the dashboard is PromQL, over metrics, labels and values that are there", () => {
    const { panels } = dashboardSchema.parse(JSON.parse(read("examples/grafana/tonetap.json")));
    const expressions = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    expect(expressions.length).toBeGreaterThanOrEqual(15);
    for (const expression of expressions) check(expression);
  });

  test("each of the 3 alerts of docs/observability.md is, too", () => {
    const [, yaml = ""] = /```yaml\n(groups:[\s\S]*?)```/.exec(read("docs/observability.md")) ?? [];
    const { groups } = z
      .object({
        groups: z.array(z.object({ rules: z.array(z.object({ alert: z.string(), expr: z.string() })) })),
      })
      .parse(parse(yaml));
    const expressions = groups.flatMap(({ rules }) => rules.map(({ expr }) => expr));
    expect(expressions).toHaveLength(3);
    for (const expression of expressions) check(expression);
  });

  test("every metric in the table of docs/observability.md is there", () => {
    const table =
      read("docs/observability.md")
        .match(/^\| `(?:tonetap|process).*$/gm)
        ?.join("\n") ?? "";
    const names = [...table.matchAll(/`((?:tonetap|process|nodejs)_\w+)`/g)].map(([, name = ""]) => name);
    expect(names.length).toBeGreaterThanOrEqual(20);
    const there = new Set([...series.keys()].map((name) => name.replace(/_(bucket|sum|count)$/, "")));
    for (const name of names) expect([...there], name).toContain(name);
  });
});

test("no 2 of 10 or more panels share an id or a place, and every variable that is used is there", () => {
  const text = read("examples/grafana/tonetap.json");
  const { panels, templating } = dashboardSchema.parse(JSON.parse(text));
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const taken = new Map<string, string>();
  for (const { title, gridPos, targets } of panels) {
    expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
    expect(new Set(targets.map(({ refId }) => refId)).size, title).toBe(targets.length);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(taken.get(`${x},${y}`), `${title} at ${x},${y}`).toBeUndefined();
        taken.set(`${x},${y}`, title);
      }
    }
  }
  const variables = [...templating.list.map(({ name }) => name), "__rate_interval", "__all"];
  for (const [, name = ""] of text.matchAll(/\$\{?(\w+)/g)) expect(variables).toContain(name);
});

test("the reader of PromQL refuses 9 expressions that Prometheus would refuse", () => {
  const wrong = [
    "sum(",
    "sum(x",
    "rate(x)",
    "rate(x[5m]",
    "x[5m]",
    "x{a=b}",
    "sum by le (x)",
    "histogram_quantile(x[5m])",
    'x{a="b"} +',
  ];
  for (const expression of wrong) expect(() => readPromQL(expression), expression).toThrow(SyntaxError);
});
