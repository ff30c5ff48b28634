/** How the service is doing: rates over the last minutes, histograms, devices. Reads /metrics and service.stats. */
import { el, find, setText } from "../dom.js";
import { bucketsOf, samplesOf, sumOf } from "../prometheus-text.js";
import { request } from "../service-api.js";
import uPlot from "../vendor/uPlot.esm.js";
import { percent } from "../words.js";

const POLL_MS = 2_000;
/** Points of the curves: five minutes of service.stats at one a second. */
const MAX_POINTS = 300;

const CURVES = [
  { title: "Windows judged a second", of: (/** @type {any} */ stats) => [stats.windowsPerSecond] },
  {
    title: "Latency, ms: p50, p99",
    of: (/** @type {any} */ stats) => [stats.latencyMs.p50, stats.latencyMs.p99],
  },
  { title: "Processor, cores", of: (/** @type {any} */ stats) => [stats.cpuShare] },
];

export class OperationsView {
  title = "Operations";

  /** @param {HTMLElement} host */
  constructor(host) {
    this.root = el(
      "div.operations",
      null,
      el("p.none", { role: "alert", hidden: "" }),
      el("div.curves"),
      el(
        "div.columns",
        null,
        panel("latency", "From a window's last packet to its event"),
        panel("batches", "Windows in a batch"),
      ),
      el("div.columns", null, panel("queues", "Queues and drops"), panel("transports", "Doors")),
      panel("devices", "Model workers"),
      panel("shards", "Shards: threads that work on audio"),
      el("p.dim", null, "The same numbers for Prometheus: ", el("a", { href: "metrics" }, "/metrics"), "."),
    );
    host.append(this.root);
    this.curves = CURVES.map(({ title, of }) => new Curve(find(this.root, ".curves"), title, of));
    this.closed = false;
    this.#showShards();
    this.#poll();
  }

  /** @param {import("../live-store.js").Change} change */
  apply({ kind, data }) {
    if (kind !== "service.stats") return;
    for (const curve of this.curves) curve.add(data);
    this.#showShards(data.shards);
  }

  recolour() {
    for (const curve of this.curves) curve.build();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    for (const curve of this.curves) curve.close();
  }

  /** Threads that work on audio; a service that has none beside its main one tells nothing. @param {any[] | undefined} shards */
  #showShards(shards = []) {
    const body = find(this.root, '[data-panel="shards"]');
    /** @type {HTMLElement} */ (body.parentElement).hidden = shards.length === 0;
    body.replaceChildren(
      table(
        ["Shard", "state", "voices", "busy", "packets dropped", "restarts"],
        shards.map(({ up, participants, utilization, droppedPackets, restarts }, index) => [
          index + 1,
          up ? "works" : "down",
          participants,
          percent(utilization),
          droppedPackets,
          restarts,
        ]),
      ),
    );
  }

  async #poll() {
    const problem = find(this.root, ".none");
    try {
      const response = await request("metrics");
      if (!response.ok) throw new Error(`the service answers ${response.status}`);
      const samples = samplesOf(await response.text());
      if (this.closed) return;
      problem.hidden = true;
      this.#show(samples);
    } catch (error) {
      problem.hidden = false;
      setText(problem, `No figures: ${error}`);
    }
    if (!this.closed) this.timer = setTimeout(() => this.#poll(), POLL_MS);
  }

  #show(/** @type {import("../prometheus-text.js").Sample[]} */ samples) {
    const body = (/** @type {string} */ name) => find(this.root, `[data-panel="${name}"]`);
    body("latency").replaceChildren(
      histogram(
        bucketsOf(samples, "tonetap_window_latency_seconds"),
        (to) => `${+(to * 1000).toFixed(1)} ms`,
      ),
    );
    body("batches").replaceChildren(histogram(bucketsOf(samples, "tonetap_batch_size_windows"), String));
    const dropped = samples.filter(({ name }) => name === "tonetap_windows_dropped_total");
    body("queues").replaceChildren(
      table(
        ["", "now or since the start"],
        [
          [
            "windows waiting",
            `${sumOf(samples, "tonetap_batcher_queued_windows")} of ${sumOf(samples, "tonetap_batcher_queue_limit_windows")}`,
          ],
          ["windows in the model", sumOf(samples, "tonetap_batcher_in_flight_windows")],
          ...dropped.map(({ labels, value }) => [`windows dropped: ${labels.reason}`, value]),
          ["events missed by slow readers", sumOf(samples, "tonetap_events_dropped_total")],
          ["subscribers", sumOf(samples, "tonetap_subscribers")],
          [
            "event loop, p99",
            `${(sumOf(samples, "nodejs_eventloop_lag_p99_seconds") * 1000).toFixed(1)} ms late`,
          ],
          ["memory", `${(sumOf(samples, "process_resident_memory_bytes") / 2 ** 20).toFixed(0)} MiB`],
        ],
      ),
    );
    const doors = [...new Set(samples.map(({ labels }) => labels.transport ?? ""))].filter(
      (transport) =>
        transport !== "" && sumOf(samples, "tonetap_participants_joined_total", { transport }) > 0,
    );
    body("transports").replaceChildren(
      table(
        ["Door", "voices", "packets", "lost", "windows"],
        doors.map((transport) => {
          const packets = (/** @type {string} */ outcome) =>
            sumOf(samples, "tonetap_packets_total", { transport, outcome });
          return [
            transport,
            sumOf(samples, "tonetap_participants", { transport }),
            packets("received").toLocaleString("en"),
            percent(packets("lost") / Math.max(1, packets("received") + packets("lost")), 1),
            sumOf(samples, "tonetap_window_latency_seconds_count", { transport }).toLocaleString("en"),
          ];
        }),
      ),
    );
    body("devices").replaceChildren(
      table(
        ["Model", "Mode", "Worker", "Runs on", "State", "Restarts"],
        samples
          .filter(({ name }) => name === "tonetap_backend_up")
          .map(({ labels: { model = "", mode = "", worker = "", engine = "", provider = "" }, value }) => [
            model,
            mode,
            worker,
            `${engine}, ${provider}`,
            value === 1 ? "ready" : "down",
            sumOf(samples, "tonetap_backend_restarts_total", { model, worker }),
          ]),
      ),
    );
  }
}

const panel = (/** @type {string} */ name, /** @type {string} */ title) =>
  el("section.panel", null, el("h3", null, title), el("div.scroll", { "data-panel": name }));

/** @param {string[]} heads @param {(string | number)[][]} rows */
function table(heads, rows) {
  if (rows.length === 0) return el("p.none", null, "none yet");
  return el(
    "table",
    null,
    el("thead", null, el("tr", null, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el(
      "tbody",
      null,
      ...rows.map(([head = "", ...cells]) =>
        el(
          "tr",
          null,
          el("th", { scope: "row" }, String(head)),
          ...cells.map((cell) => el("td.number", null, String(cell))),
        ),
      ),
    ),
  );
}

/** @param {{to: number, count: number}[]} buckets @param {(to: number) => string} name */
function histogram(buckets, name) {
  const total = buckets.reduce((sum, { count }) => sum + count, 0);
  if (total === 0) return el("p.none", null, "none yet");
  const most = Math.max(...buckets.map(({ count }) => count));
  const last = buckets.findLastIndex(({ count }) => count > 0);
  return el(
    "ol.histogram",
    null,
    ...buckets.slice(0, Math.max(6, last + 1)).map(({ to, count }, i) => {
      const bar = el("i", { "aria-hidden": "true" });
      bar.style.transform = `scaleX(${count / most})`;
      const label = Number.isFinite(to) ? `≤ ${name(to)}` : `> ${name(buckets[i - 1]?.to ?? 0)}`;
      return el(
        "li",
        null,
        el("span", null, label),
        el("span.track", null, bar),
        el("b", null, percent(count / total)),
      );
    }),
  );
}

/** One curve over the last minutes. */
class Curve {
  /** @param {HTMLElement} host @param {string} title @param {(stats: any) => number[]} of */
  constructor(host, title, of) {
    this.of = of;
    this.place = el("div.curve");
    this.host = el("section.panel", null, el("h3", null, title), this.place);
    host.append(this.host);
    /** @type {number[][]} */
    this.columns = [];
    /** @type {any} */
    this.chart = undefined;
    this.sizes = new ResizeObserver(() => this.chart?.setSize(this.#size()));
    this.sizes.observe(this.place);
  }

  add(/** @type {any} */ stats) {
    const values = [Date.now() / 1000, ...this.of(stats)];
    if (this.columns.length === 0) this.columns = values.map(() => []);
    this.columns.forEach((column, i) => {
      column.push(values[i] ?? 0);
      if (column.length > MAX_POINTS) column.shift();
    });
    if (this.chart === undefined) this.build();
    else this.chart.setData(this.columns);
  }

  build() {
    this.chart?.destroy();
    this.chart = undefined;
    if (this.columns.length === 0) return;
    const css = getComputedStyle(document.documentElement);
    const variable = (/** @type {string} */ name) => css.getPropertyValue(name).trim();
    const axis = {
      stroke: variable("--dim"),
      font: "11px system-ui",
      grid: { stroke: variable("--line"), width: 1 },
      ticks: { show: false },
    };
    this.chart = new uPlot(
      {
        ...this.#size(),
        padding: [8, 16, 0, 0],
        legend: { show: false },
        cursor: { show: false },
        scales: {
          y: {
            range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ max) => [
              0,
              Math.max(max * 1.15, 0.1),
            ],
          },
        },
        axes: [
          {
            ...axis,
            size: 22,
            space: 80,
            values: (/** @type {any} */ _, /** @type {number[]} */ splits) =>
              splits.map((s) =>
                new Date(s * 1000).toLocaleTimeString([], {
                  hour: "2-digit",
                  minute: "2-digit",
                  second: "2-digit",
                }),
              ),
          },
          { ...axis, size: 44, space: 36 },
        ],
        series: [
          {},
          { stroke: variable("--accent"), width: 2, points: { show: false } },
          { stroke: variable("--bad"), width: 2, dash: [5, 4], points: { show: false } },
        ].slice(0, this.columns.length),
      },
      this.columns,
      this.place,
    );
  }

  close() {
    this.sizes.disconnect();
    this.chart?.destroy();
  }

  #size() {
    return { width: Math.max(120, this.place.clientWidth), height: 130 };
  }
}
