/** What the demo says at its end: who expressed what, how many windows became what, how fast. */
import type { Subscription } from "rxjs";
import { LatencyHistogram } from "./core/histogram.ts";
import type { Engine } from "./engine.ts";
import type { EventData, TonetapEvent } from "./events/index.ts";

interface Voice {
  name: string;
  /** Emotion events by expression in force. */
  readonly shown: Map<string, number>;
  unsure: number;
  windows: EventData<"participant.left">["windows"];
}

export class DemoSummary {
  readonly #voices = new Map<string, Voice>();
  readonly #latency = new LatencyHistogram();
  readonly #subscription: Subscription;
  #calls = 0;
  #durationMs = 0;

  constructor(engine: Pick<Engine, "events$">) {
    this.#subscription = engine.events$.subscribe((event) => this.#take(event));
  }

  close(): void {
    this.#subscription.unsubscribe();
  }

  text(): string {
    const lines = [`\n${this.#calls} call(s), ${(this.#durationMs / 1000).toFixed(1)} s`];
    for (const { name, shown, unsure, windows } of this.#voices.values()) {
      const total = [...shown.values()].reduce((sum, count) => sum + count, unsure);
      const share = (count: number): string => `${Math.round((100 * count) / Math.max(1, total))} %`;
      const parts = [...shown]
        .sort((a, b) => b[1] - a[1])
        .map(([label, count]) => `${label} ${share(count)}`);
      if (unsure > 0) parts.push(`unsure ${share(unsure)}`);
      lines.push(`  ${name.padEnd(6)} ${parts.join(", ") || "not judged"}`);
      lines.push(
        `         windows: ${windows.emitted} emitted, ${windows.abstained} abstained, ${windows.gated} gated, ${windows.dropped} dropped`,
      );
    }
    const { count } = this.#latency;
    const ms = (q: number): string => `${this.#latency.quantile(q).toFixed(0)} ms`;
    if (count === 0) return `${lines.join("\n")}\n`;
    lines.push(
      `  from a window's last packet to its event: p50 ${ms(0.5)}, p99 ${ms(0.99)} over ${count} events`,
    );
    return `${lines.join("\n")}\n`;
  }

  #take(event: TonetapEvent): void {
    switch (event.type) {
      case "tonetap.participant.joined":
        this.#voice(event.data).name = event.data.displayName ?? event.data.participantId;
        break;
      case "tonetap.emotion": {
        const { shown } = this.#voice(event.data);
        if (event.data.abstained) this.#voice(event.data).unsure++;
        else shown.set(event.data.top, (shown.get(event.data.top) ?? 0) + 1);
        this.#latency.record(event.data.latency.totalMs);
        break;
      }
      case "tonetap.participant.left": {
        const voice = this.#voice(event.data);
        const { emitted, abstained, gated, dropped } = event.data.windows;
        voice.windows = {
          emitted: voice.windows.emitted + emitted,
          abstained: voice.windows.abstained + abstained,
          gated: voice.windows.gated + gated,
          dropped: voice.windows.dropped + dropped,
        };
        break;
      }
      case "tonetap.call.ended":
        this.#calls++;
        this.#durationMs += event.data.durationMs;
        break;
      default:
    }
  }

  #voice({ participantId }: { readonly participantId: string }): Voice {
    const known = this.#voices.get(participantId);
    if (known !== undefined) return known;
    const voice: Voice = {
      name: participantId,
      shown: new Map(),
      unsure: 0,
      windows: { emitted: 0, abstained: 0, gated: 0, dropped: 0 },
    };
    this.#voices.set(participantId, voice);
    return voice;
  }
}
