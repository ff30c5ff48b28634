/** Sums one talk-spurt up from its emotion events. When it begins and ends is insights.ts. */
import type { EventData } from "../schema.ts";

type Emotion = EventData<"emotion">;

export class UtteranceMeter {
  readonly #started: EventData<"speech.started">;
  #ended: EventData<"speech.ended"> | undefined;
  readonly #sums: Record<string, number> = {};
  #weight = 0;
  #valence = 0;
  #arousal = 0;
  #loss = 0;
  #speech = 0;
  #judged = 0;
  #abstained = 0;
  #peak: { label: string; probability: number; mediaMs: number; abstained: boolean } | undefined;
  #model: string | undefined;

  constructor(started: EventData<"speech.started">) {
    this.#started = started;
  }

  get judged(): number {
    return this.#judged;
  }

  get ended(): EventData<"speech.ended"> | undefined {
    return this.#ended;
  }

  /** A window of this talk-spurt. */
  add(data: Emotion): void {
    this.#judged++;
    if (data.abstained) this.#abstained++;
    this.#model = data.model;
    this.#loss += data.lossShare;
    this.#speech += data.speechShare;
    // A window that is half silence says half as much; one without speech does not come here.
    const weight = Math.max(data.speechShare, 0.01);
    this.#weight += weight;
    this.#valence += weight * data.valence;
    this.#arousal += weight * data.arousal;
    for (const [label, score] of Object.entries(data.scores)) {
      this.#sums[label] = (this.#sums[label] ?? 0) + weight * score;
    }
    this.#notePeak(data);
  }

  end(ended: EventData<"speech.ended">): void {
    this.#ended = ended;
  }

  /** @returns `data` of the utterance event; undefined before end() */
  summary(): EventData<"utterance"> | undefined {
    const started = this.#started;
    const ended = this.#ended;
    if (ended === undefined) return undefined;
    const { callId, participantId, role } = started;
    const judged = Math.max(1, this.#judged);
    const expression = this.#expression();
    return {
      callId,
      participantId,
      role,
      media: { startMs: started.mediaMs, endMs: Math.max(started.mediaMs, ended.mediaMs) },
      wall: { start: started.wall.at, end: ended.wall.at, source: ended.wall.source },
      durationMs: ended.durationMs,
      ...(expression === undefined ? {} : { expression }),
      windows: { judged: this.#judged, abstained: this.#abstained },
      abstainedShare: this.#abstained / judged,
      lossShare: this.#loss / judged,
      speechShare: this.#speech / judged,
      ...(this.#model === undefined ? {} : { model: this.#model }),
    };
  }

  #notePeak({ scores, media, abstained }: Emotion): void {
    for (const [label, probability] of Object.entries(scores)) {
      const peak = this.#peak;
      const better =
        peak === undefined ||
        (peak.abstained && !abstained) ||
        (peak.abstained === abstained && probability > peak.probability);
      if (better) this.#peak = { label, probability, mediaMs: media.endMs, abstained };
    }
  }

  #expression(): EventData<"utterance">["expression"] {
    if (this.#peak === undefined) return undefined;
    const scores: Record<string, number> = {};
    let top = this.#peak.label;
    for (const [label, sum] of Object.entries(this.#sums)) {
      scores[label] = sum / this.#weight;
      if (sum > (this.#sums[top] ?? 0)) top = label;
    }
    const { label, probability, mediaMs } = this.#peak;
    return {
      top,
      confidence: scores[top] ?? 0,
      scores,
      valence: this.#valence / this.#weight,
      arousal: this.#arousal / this.#weight,
      abstained: this.#abstained * 2 > this.#judged,
      peak: { label, probability, mediaMs },
    };
  }
}
