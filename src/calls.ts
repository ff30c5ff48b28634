/**
 * Which calls there are and who is in them, and the events that say how they begin, end and fail. Attaching audio is
 * engine.ts; one participant's chain is participant.ts.
 */
import type { Clock } from "./core/clock.ts";
import { TonetapError } from "./core/errors.ts";
import type { MonotonicMs } from "./core/units.ts";
import type { EventData, EventKind } from "./events/index.ts";
import type { Participant } from "./participant.ts";
import type { ParticipantIdentity } from "./participant-contract.ts";

export interface Call {
  readonly callId: string;
  readonly startedMs: MonotonicMs;
  readonly participants: Map<string, Participant>;
  /** Participants it has had in all. */
  joined: number;
  /** Why its owner or its platform ends it; undefined while it goes on. */
  ending: "closed" | TonetapError | undefined;
}

export type Publish = <K extends EventKind>(kind: K, data: EventData<K>) => void;

export class CallRegistry {
  readonly #clock: Clock;
  readonly #publish: Publish;
  readonly #calls = new Map<string, Call>();

  constructor(clock: Clock, publish: Publish) {
    this.#clock = clock;
    this.#publish = publish;
  }

  /** Calls now. */
  get size(): number {
    return this.#calls.size;
  }

  *participants(): Generator<Participant, void, undefined> {
    for (const call of this.#calls.values()) yield* call.participants.values();
  }

  find(callId: string, participantId: string): Participant | undefined {
    return this.#calls.get(callId)?.participants.get(participantId);
  }

  /**
   * The call of that name; begun if there is none.
   * @throws TonetapError conflict while everyone is being detached from it
   */
  open(callId: string): Call {
    const known = this.#calls.get(callId);
    if (known?.ending !== undefined) throw new TonetapError("conflict", `call ${callId} is ending`);
    if (known !== undefined) return known;
    const call: Call = {
      callId,
      startedMs: this.#clock.now(),
      participants: new Map(),
      joined: 0,
      ending: undefined,
    };
    this.#calls.set(callId, call);
    this.#publish("call.started", { callId });
    return call;
  }

  /**
   * Detaches everyone in a call. With an error the call has failed: `call.failed` comes first.
   * @throws TonetapError not-found
   */
  async end(callId: string, error?: TonetapError): Promise<void> {
    const call = this.#calls.get(callId);
    if (call === undefined) throw new TonetapError("not-found", `there is no call ${callId}`);
    if (call.ending === undefined) {
      call.ending = error ?? "closed";
      if (error !== undefined) this.#publish("call.failed", { callId, error: failureOf(error) });
    }
    await Promise.all([...call.participants.values()].map((participant) => participant.close(error)));
  }

  /** A participant's audio is over: it leaves, and with the last one the call ends. */
  left(call: Call, participant: Participant, error: TonetapError | undefined, shutdown: boolean): void {
    const { callId } = call;
    call.participants.delete(participant.identity.participantId);
    const now = this.#clock.now();
    this.#publish("participant.left", {
      ...speakerOf(participant.identity),
      reason: shutdown ? "shutdown" : leftReason(participant, error),
      ...(error === undefined ? {} : { error: failureOf(error) }),
      durationMs: now - participant.joinedMs,
      windows: participant.windows,
    });
    if (call.participants.size > 0 || this.#calls.get(callId) !== call) return;
    this.#calls.delete(callId);
    const failed = this.#failedWith(call, error, shutdown);
    this.#publish("call.ended", {
      callId,
      reason: shutdown ? "shutdown" : failed ? "failed" : call.ending === "closed" ? "closed" : "empty",
      durationMs: now - call.startedMs,
      participants: call.joined,
    });
  }

  /** Whether the call broke down as a whole. One whose last stream broke did: nothing of it is left. */
  #failedWith(call: Call, error: TonetapError | undefined, shutdown: boolean): boolean {
    if (call.ending !== undefined) return call.ending !== "closed";
    if (error === undefined || shutdown) return false;
    this.#publish("call.failed", { callId: call.callId, error: failureOf(error) });
    return true;
  }
}

export const speakerOf = ({ callId, participantId, role }: ParticipantIdentity) => ({
  callId,
  participantId,
  role,
});

export const failureOf = ({ code, message, retryable }: TonetapError) => ({ code, message, retryable });

function leftReason(
  { source, removed }: Participant,
  error: TonetapError | undefined,
): "left" | "removed" | "inactive" | "failed" {
  if (error !== undefined) return "failed";
  if (source.timedOut === true) return "inactive";
  return removed ? "removed" : "left";
}
