/** What a participant is given and whom it tells. What it does is participant.ts. */
import type { PauseReason } from "./analysis-gate.ts";
import type { ConsentKeyOptions } from "./consent-keys.ts";
import type { ConsentState, ParticipantRole } from "./core/audio-source.ts";
import type { TonetapError } from "./core/errors.ts";
import type { EmotionUnit, SpeechEdge } from "./core/window.ts";
import type { NoticeNews, NoticeTerms } from "./notice/index.ts";

/** What became of a participant's windows. Each is counted once. */
export interface WindowCounts {
  emitted: number;
  abstained: number;
  gated: number;
  dropped: number;
}

export type ResumeReason = "consent-granted" | "notice-given" | "policy" | "operator";

/** What the engine is told. Every callback is synchronous. */
export interface ParticipantHooks {
  readonly onUnit: (unit: EmotionUnit) => void;
  /** @param speech the end of the talk-spurt that it cuts off, if there is one */
  readonly onPaused: (reason: PauseReason, speech: SpeechEdge | undefined) => void;
  readonly onResumed: (reason: ResumeReason) => void;
  /** After onPaused(). @param windows thrown away that waited for the model */
  readonly onDiscarded: (reason: PauseReason, windows: number) => void;
  /** Before what follows from it. */
  readonly onConsent: (consent: ConsentState, previous: ConsentState, by: string) => void;
  /** Before what follows from it. */
  readonly onNotice: (news: NoticeNews) => void;
  /** What worked on its audio broke down, and something else does from here on. */
  readonly onMoved: (error: TonetapError) => void;
  /** Once, last: the source has ended and everything it gave is answered. */
  readonly onEnded: (error: TonetapError | undefined) => void;
}

export interface ParticipantIdentity {
  readonly callId: string;
  readonly participantId: string;
  readonly role: ParticipantRole;
  readonly displayName?: string;
}

/** On what terms somebody is analysed. */
export interface ParticipantTerms {
  readonly consent: ConsentState;
  /** Keys by which the participant changes it. */
  readonly keys: ConsentKeyOptions;
  /** Who tells the participant, if anybody is to. */
  readonly notice?: NoticeTerms | undefined;
}
