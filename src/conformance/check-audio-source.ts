/** Runs a source through every promise of the AudioSource contract. What a packet must be is packet-rules.ts. */
import type { AudioSource } from "../core/audio-source.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { TonetapError } from "../core/errors.ts";
import { arrivalFault, codecsFault, fieldFault, timeFault } from "./packet-rules.ts";
import { Trial } from "./trial.ts";

/** A fresh source, and the other end of it. */
export interface SourceUnderTest {
  readonly source: AudioSource;
  /** Has the peer send 200 ms of audio or more; resolves when it is sent. */
  send(): Promise<void>;
  /** Has the peer leave as the platform does. Leave it out where a peer cannot say so. */
  leave?(): Promise<void>;
  /** Has the transport fail. Leave it out where it cannot. */
  fail?(): Promise<void>;
  /** Frees the other end. */
  dispose?(): Promise<void>;
}

export interface ConformanceOptions {
  /** ms that anything may take. Default 5,000. */
  readonly timeoutMs?: number;
  /** ms without a packet after which all that was sent has come. Default 50. */
  readonly quietMs?: number;
  /** The clock that the source stamps arrivals by. Default the machine's. */
  readonly clock?: Clock;
}

export interface ConformanceCheck {
  /** What is promised, as a sentence. */
  readonly name: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it failed or was skipped. */
  readonly reason?: string;
}

export interface ConformanceReport {
  readonly passed: boolean;
  readonly checks: readonly ConformanceCheck[];
  /** One line a check, for people. */
  readonly text: string;
}

/** ms that an arrival may be off the time at which the packet was given. */
const ARRIVAL_TOLERANCE_MS = 2_000;

type Work = (subject: SourceUnderTest, trial: Trial, quietMs: number) => Promise<string | undefined>;

interface Rule {
  readonly name: string;
  readonly needs?: "leave" | "fail";
  /** @returns the fault in words */
  readonly work: Work;
}

const RULES: readonly Rule[] = [
  {
    name: "says what kind it is and which codecs it has",
    work: async ({ source }) => {
      if (!/^[a-z][a-z0-9-]{0,31}$/.test(source.kind)) {
        return `kind must be 1–32 of a–z 0–9 -, got ${JSON.stringify(source.kind)}`;
      }
      return codecsFault(source.codecs);
    },
  },
  {
    name: "gives whole packets of its codecs",
    work: async (subject, trial, quietMs) => {
      const missing = await listenAndSend(subject, trial, quietMs);
      if (missing !== undefined) return missing;
      for (const heard of trial.heard) {
        const fault = fieldFault(heard);
        if (fault !== undefined) return fault;
      }
      const isKnown = trial.heard.some(
        ({ packet }) => subject.source.codecs.has(packet.payloadType) && packet.payload.length > 0,
      );
      return isKnown ? undefined : "no packet has a payload of a type that is in codecs";
    },
  },
  {
    name: "counts time in ticks of the codec's clock",
    work: async (subject, trial, quietMs) =>
      (await listenAndSend(subject, trial, quietMs)) ?? timeFault(trial.heard, subject.source.codecs),
  },
  {
    name: "stamps arrivals by the clock, in order",
    work: async (subject, trial, quietMs) =>
      (await listenAndSend(subject, trial, quietMs)) ?? arrivalFault(trial.heard, ARRIVAL_TOLERANCE_MS),
  },
  {
    name: "leaves a payload to its receiver",
    work: async (subject, trial, quietMs) => {
      const missing = await listenAndSend(subject, trial, quietMs);
      if (missing !== undefined) return missing;
      await trial.inTime("close()", subject.source.close());
      const isTouched = trial.heard.some(({ packet, bytes }) => Buffer.compare(packet.payload, bytes) !== 0);
      return isTouched
        ? "a payload changed after it was given: copy it out of the buffer that is reused"
        : undefined;
    },
  },
  {
    name: "completes when the peer leaves",
    needs: "leave",
    work: async (subject, trial, quietMs) => {
      const missing = await listenAndSend(subject, trial, quietMs);
      if (missing !== undefined) return missing;
      await trial.inTime("leave()", subject.leave?.() ?? Promise.resolve());
      return completed(trial, "after the peer left");
    },
  },
  {
    name: "errors when the transport fails, and closes all the same",
    needs: "fail",
    work: async (subject, trial, quietMs) => {
      const missing = await listenAndSend(subject, trial, quietMs);
      if (missing !== undefined) return missing;
      await trial.inTime("fail()", subject.fail?.() ?? Promise.resolve());
      if (!(await trial.eventually(() => trial.end !== undefined))) return "packets did not end";
      const { end } = trial;
      if (end?.kind !== "error") return "packets completed as if the peer had left: it should error";
      if (!(end.error instanceof Error)) return "what packets errored with is no Error";
      await trial.inTime("close()", subject.source.close());
      return undefined;
    },
  },
  {
    name: "close() completes packets, however often it is called",
    work: async (subject, trial, quietMs) => {
      const missing = await listenAndSend(subject, trial, quietMs);
      if (missing !== undefined) return missing;
      await trial.inTime("close()", Promise.all([subject.source.close(), subject.source.close()]));
      await trial.inTime("close() after close()", subject.source.close());
      return completed(trial, "after close()");
    },
  },
  {
    name: "close() completes packets before anything came",
    work: async (subject, trial) => {
      trial.listen();
      await trial.inTime("close()", subject.source.close());
      return completed(trial, "after close()");
    },
  },
  {
    name: "close() works without a subscriber, and who comes later gets an end",
    work: async (subject, trial) => {
      await trial.inTime("close()", subject.source.close());
      trial.listen();
      return completed(trial, "of a subscription after close()");
    },
  },
  {
    name: "gives nothing after close() while the peer sends on",
    work: async (subject, trial, quietMs) => {
      trial.listen();
      await trial.inTime("close()", subject.source.close());
      const before = trial.heard.length;
      // Its peer may be told, or find nobody there: either is its affair.
      await trial.inTime("send()", subject.send()).catch(() => undefined);
      await trial.quiet(quietMs);
      const after = trial.heard.length - before;
      return after === 0 ? undefined : `${after} packets came after close()`;
    },
  },
  {
    name: "goes on when its subscriber goes, and closes",
    work: async (subject, trial, quietMs) => {
      const missing = await listenAndSend(subject, trial, quietMs);
      if (missing !== undefined) return missing;
      trial.stopListening();
      const count = trial.heard.length;
      await trial.inTime("send()", subject.send());
      await trial.quiet(quietMs);
      await trial.inTime("close()", subject.source.close());
      return trial.heard.length === count ? undefined : "packets came after the subscription ended";
    },
  },
  {
    name: "takes requests for retransmission at any time, and tells right sender reports, if it has either",
    work: async (subject, trial, quietMs) => {
      const { source } = subject;
      source.requestRetransmission?.([0, 65_535]);
      const missing = await listenAndSend(subject, trial, quietMs);
      if (missing !== undefined) return missing;
      source.requestRetransmission?.([trial.heard[0]?.packet.sequence ?? 0]);
      await trial.inTime("close()", source.close());
      source.requestRetransmission?.([1]);
      const wrong = trial.reports.find(
        ({ ntpWallMs, rtpTimestamp, ssrc }) =>
          !Number.isFinite(ntpWallMs) || rtpTimestamp !== rtpTimestamp >>> 0 || ssrc !== ssrc >>> 0,
      );
      return wrong === undefined ? undefined : `a sender report is not right: ${JSON.stringify(wrong)}`;
    },
  },
];

/**
 * Checks a source against the contract that {@link AudioSource} states: one fresh source a check, so that none stands on
 * another. Never rejects for a source's fault; that is in the report.
 *
 * ```ts
 * const report = await checkAudioSource(async () => ({ source, send, leave }));
 * assert(report.passed, report.text);
 * ```
 * @param create makes a source that nobody has subscribed, and its peer
 */
export async function checkAudioSource(
  create: () => Promise<SourceUnderTest>,
  { timeoutMs = 5_000, quietMs = 50, clock = systemClock }: ConformanceOptions = {},
): Promise<ConformanceReport> {
  const checks: ConformanceCheck[] = [];
  for (const rule of RULES) checks.push(await check(rule, create, { timeoutMs, quietMs, clock }));
  const lines = checks.map(
    ({ name, outcome, reason }) => `${outcome}: ${name}${reason === undefined ? "" : ` (${reason})`}`,
  );
  return { passed: checks.every(({ outcome }) => outcome !== "failed"), checks, text: lines.join("\n") };
}

async function check(
  { name, needs, work }: Rule,
  create: () => Promise<SourceUnderTest>,
  { timeoutMs, quietMs, clock }: Required<ConformanceOptions>,
): Promise<ConformanceCheck> {
  try {
    const subject = await create();
    const trial = new Trial(subject.source, clock, timeoutMs);
    try {
      if (needs !== undefined && subject[needs] === undefined) {
        return { name, outcome: "skipped", reason: `${needs}() is not given` };
      }
      const reason = await work(subject, trial, quietMs);
      return reason === undefined ? { name, outcome: "passed" } : { name, outcome: "failed", reason };
    } finally {
      trial.stopListening();
      // What cannot be closed has been found out by its own check; the next one begins anew.
      await Promise.allSettled([trial.inTime("close()", subject.source.close())]);
      await subject.dispose?.();
    }
  } catch (error) {
    return { name, outcome: "failed", reason: TonetapError.from(error).message };
  }
}

/** @returns the fault, if nothing comes */
async function listenAndSend(
  subject: SourceUnderTest,
  trial: Trial,
  quietMs: number,
): Promise<string | undefined> {
  trial.listen();
  await trial.inTime("send()", subject.send());
  if (!(await trial.eventually(() => trial.heard.length > 0))) return "no packet came of what was sent";
  await trial.quiet(quietMs);
  return undefined;
}

async function completed(trial: Trial, when: string): Promise<string | undefined> {
  if (!(await trial.eventually(() => trial.end !== undefined))) return `packets did not complete ${when}`;
  const { end } = trial;
  return end?.kind === "error"
    ? `packets errored ${when}: ${TonetapError.from(end.error).message}`
    : undefined;
}
