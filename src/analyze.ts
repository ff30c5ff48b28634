/**
 * Analyses recordings as fast as the machine can, with the events that a live call would have had. Owns the model and
 * the files in flight; one file's way is analyze-file.ts, printing is cli.ts.
 */
import { type AnalysisParts, analyzeFile, type FileFindings } from "./analyze-file.ts";
import { type Config, type ConfigInput, parseConfig } from "./config.ts";
import { assertRange, type TonetapError } from "./core/errors.ts";
import { CloseStack } from "./core/lifecycle.ts";
import { monotonicMs } from "./core/units.ts";
import type { EmotionUnit } from "./core/window.ts";
import {
  AlertRules,
  EventFactory,
  emotionData,
  type Speaker,
  speechEndedData,
  speechStartedData,
} from "./events/index.ts";
import { type AnalysisEvent, FileInsights } from "./file-insights.ts";
import { findModel, loadModelPackage, ModelRuntime } from "./inference/index.ts";
import { modelOptions } from "./model-options.ts";
import type { WindowCounts } from "./participant-contract.ts";
import type { AudioFileOptions } from "./transport/file/audio-file.ts";

export interface AnalyzeOptions extends AudioFileOptions {
  /** Model, windows, smoothing, rolling states and alert rules, as for an engine. What speaks of peers is not used. */
  readonly config?: ConfigInput;
  /** PCM goes straight to the features; default false: through Opus and RTP, as a call's would. */
  readonly direct?: boolean;
  /** Files in flight at once, so that batches fill. 1–64, default 8. */
  readonly filesInFlight?: number;
  /** Ends the analysis: files under way fail as `closed`, the rest is left out. */
  readonly signal?: AbortSignal;
}

export type { AnalysisEvent } from "./file-insights.ts";

/** One file as a whole. */
export interface FileSummary {
  /** Label of the highest mean probability; null if no window was judged. */
  readonly label: string | null;
  /** Mean over the windows judged, before smoothing, each weighted by its length; null if none was. Sum to 1. */
  readonly probabilities: Readonly<Record<string, number>> | null;
  /** s of audio. */
  readonly durationS: number;
  /** What became of the windows; each is counted once. */
  readonly windows: Readonly<WindowCounts>;
  /** Time taken over time of audio; files in flight share the machine. */
  readonly realTimeFactor: number;
  /** The file was heard to its end. */
  readonly complete: boolean;
  /** `name@version` */
  readonly model: string;
}

/** What analyzeFiles() gives. Items of one file come in order: events, then the summary, then a failure if there is one. */
export type AnalysisItem =
  | { readonly kind: "event"; readonly file: string; readonly event: AnalysisEvent }
  | { readonly kind: "summary"; readonly file: string; readonly summary: FileSummary }
  /** It could not be read, or not to its end. The other files go on. */
  | { readonly kind: "failed"; readonly file: string; readonly error: TonetapError };

/** Items that may wait for the caller before the files do. */
const OUTBOX_LIMIT = 1_024;
/** Nobody waits for these answers in real time. */
const DEADLINE_MS = 60_000;

/**
 * Media times count from each file's start; wall times as if it began when its analysis did. Latency is batching and
 * inference alone.
 * @throws TonetapError invalid-argument (an option, an alert rule, the model package), not-found (model), unavailable (device). What
 * is wrong with a file is an item.
 */
export async function* analyzeFiles(
  paths: Iterable<string>,
  options: AnalyzeOptions = {},
): AsyncGenerator<AnalysisItem, void, undefined> {
  const { config: input, direct = false, filesInFlight = 8, signal, ...audio } = options;
  assertRange("filesInFlight", filesInFlight, 1, 64);
  const config = parseConfig(input);
  const remaining = [...paths].values();
  const resources = new CloseStack();
  const outbox = new Outbox(OUTBOX_LIMIT);
  const stop = new AbortController();
  const abort = (): void => stop.abort();
  try {
    const parts = await openModel(config, resources, signal);
    const events = new EventFactory({ instance: config.events.instance });
    const labels = parts.manifest.labels;
    const rules = new AlertRules(labels, config.alerts.rules);
    let index = 0;
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted === true) abort();
    const work = async (): Promise<void> => {
      // Workers share the iterator: each file goes to one of them.
      for (const file of remaining) {
        if (stop.signal.aborted) return;
        const speaker = speakerOf(file, audio.channel);
        const insights = new FileInsights({
          speaker,
          config,
          rules,
          factory: events,
          index: index++,
          onEvent: (event) => outbox.put({ kind: "event", file, event }),
        });
        const findings = await analyzeFile(file, parts, {
          ...audio,
          direct,
          signal: stop.signal,
          ready: () => outbox.ready(),
          onUnit: (unit) => {
            const event = eventOf(unit, speaker, labels, events);
            if (event !== undefined) insights.take(event, unit.arrivalMs);
          },
        });
        await insights.end(monotonicMs(findings.durationS * 1000));
        if (findings.durationS > 0) {
          outbox.put({ kind: "summary", file, summary: summaryOf(findings, parts) });
        }
        if (findings.error !== undefined) outbox.put({ kind: "failed", file, error: findings.error });
      }
    };
    const workers = Promise.all(Array.from({ length: filesInFlight }, work)).finally(() => outbox.end());
    try {
      yield* outbox.items();
    } finally {
      stop.abort();
      outbox.end();
      await workers;
    }
  } finally {
    signal?.removeEventListener("abort", abort);
    await resources.close();
  }
}

async function openModel(
  config: Config,
  resources: CloseStack,
  signal: AbortSignal | undefined,
): Promise<AnalysisParts & { readonly model: string }> {
  const model = await loadModelPackage(await findModel(config.model.package), signal);
  const options = { ...(await modelOptions(config)), deadlineMs: DEADLINE_MS, latencyTargetMs: 0 };
  const { batcher } = resources.use("model", await ModelRuntime.open(model, options, { signal }));
  return { config, manifest: model.manifest, batcher, model: model.id };
}

function summaryOf(findings: FileFindings, parts: AnalysisParts & { readonly model: string }): FileSummary {
  const { probabilities, durationS, elapsedS, windows, error } = findings;
  const labels = parts.manifest.labels;
  const best = probabilities?.reduce((top, p, i) => (p > (probabilities[top] ?? 0) ? i : top), 0);
  return {
    label: best === undefined ? null : (labels[best] ?? null),
    probabilities:
      probabilities === undefined
        ? null
        : Object.fromEntries(labels.map((label, i) => [label, rounded(probabilities[i] ?? 0)])),
    durationS,
    windows,
    realTimeFactor: rounded(elapsedS / durationS),
    complete: error === undefined,
    model: parts.model,
  };
}

const rounded = (value: number): number => Math.round(value * 1e4) / 1e4;

/** Ids have at most 128 printable characters; the end of a path tells files apart best. */
const speakerOf = (file: string, channel: AnalyzeOptions["channel"] = "mix"): Speaker => ({
  callId: file.replaceAll(/\p{C}/gu, "?").slice(-128),
  participantId: channel === "mix" ? "mix" : `channel-${channel}`,
  role: "speaker",
});

function eventOf(
  unit: EmotionUnit,
  speaker: Speaker,
  labels: readonly string[],
  events: EventFactory,
): AnalysisEvent | undefined {
  switch (unit.kind) {
    case "emotion": {
      // Arrival is media time here: what came after it is the batcher's wait and the model.
      const answeredMs = monotonicMs(unit.arrivalMs + unit.queuedMs + unit.inferenceMs);
      return events.create("emotion", emotionData(speaker, unit, labels, answeredMs));
    }
    case "speech":
      return unit.state === "started"
        ? events.create("speech.started", speechStartedData(speaker, unit))
        : events.create("speech.ended", speechEndedData(speaker, unit));
    case "gated":
    case "dropped":
      return undefined;
    default:
      return unit satisfies never;
  }
}

/** Items on their way to the caller. Bounded by its writers, who ask ready() before they go on. */
class Outbox {
  readonly #limit: number;
  #items: AnalysisItem[] = [];
  #ended = false;
  #changed = Promise.withResolvers<void>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  put(item: AnalysisItem): void {
    this.#items.push(item);
    this.#notify();
  }

  /** A promise while it is full. */
  ready(): Promise<void> | undefined {
    return this.#items.length < this.#limit || this.#ended ? undefined : this.#changed.promise;
  }

  /** What is there is still given; nothing waits any more. */
  end(): void {
    this.#ended = true;
    this.#notify();
  }

  async *items(): AsyncGenerator<AnalysisItem, void, undefined> {
    for (;;) {
      const items = this.#items;
      this.#items = [];
      if (items.length > 0) {
        this.#notify();
        yield* items;
      } else if (this.#ended) return;
      else await this.#changed.promise;
    }
  }

  #notify(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }
}
