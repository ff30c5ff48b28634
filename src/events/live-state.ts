/** What is going on now: the latest events of every live call and participant, for subscribers who come late. */
import type { PublishedEvent } from "./published-event.ts";
import type { EventData, EventOf, TonetapEvent } from "./schema.ts";

/** One live participant, as `GET /v1/calls` shows it. */
export interface ParticipantView {
  readonly participantId: string;
  readonly role: EventData<"participant.joined">["role"];
  readonly displayName?: string;
  readonly transport: string;
  /** RFC 3339. */
  readonly joinedAt: string;
  readonly paused: boolean;
  readonly speaking: boolean;
  /** `data` of the latest emotion event. */
  readonly emotion?: EventData<"emotion">;
  /** `data` of the latest quality event. */
  readonly quality?: EventData<"quality">;
}

/** One live call, as `GET /v1/calls` shows it. */
export interface CallView {
  readonly callId: string;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly participants: readonly ParticipantView[];
}

/** The latest event of each sort. Those of one sort replace each other: `speech.ended` takes the place of `speech.started`. */
interface ParticipantState {
  readonly joined: PublishedEvent;
  analysis?: PublishedEvent;
  speech?: PublishedEvent;
  emotion?: PublishedEvent;
  quality?: PublishedEvent;
}

interface CallState {
  readonly started: PublishedEvent;
  readonly participants: Map<string, ParticipantState>;
}

/** Bounded by what lives: a call's entry goes with call.ended, a participant's with participant.left. */
export class LiveState {
  readonly #calls = new Map<string, CallState>();

  apply(published: PublishedEvent): void {
    const { event } = published;
    switch (event.type) {
      case "tonetap.call.started":
        this.#calls.set(event.data.callId, { started: published, participants: new Map() });
        return;
      case "tonetap.call.ended":
        this.#calls.delete(event.data.callId);
        return;
      case "tonetap.participant.joined":
        this.#calls.get(event.data.callId)?.participants.set(event.data.participantId, { joined: published });
        return;
      case "tonetap.participant.left":
        this.#calls.get(event.data.callId)?.participants.delete(event.data.participantId);
        return;
      case "tonetap.participant.paused":
      case "tonetap.participant.resumed":
        this.#update(event, (state) => {
          state.analysis = published;
          // What was heard before a pause is not shown to newcomers: consent may be gone.
          delete state.emotion;
          delete state.speech;
        });
        return;
      case "tonetap.speech.started":
      case "tonetap.speech.ended":
        this.#update(event, (state) => {
          state.speech = published;
        });
        return;
      case "tonetap.emotion":
        this.#update(event, (state) => {
          state.emotion = published;
        });
        return;
      case "tonetap.quality":
        this.#update(event, (state) => {
          state.quality = published;
        });
        return;
      case "tonetap.call.failed":
      case "tonetap.service.stats":
        return;
      default:
        event satisfies never;
    }
  }

  /** The events kept of everything alive that pass `accepts`, in the order they were published. */
  snapshot(accepts: (event: TonetapEvent) => boolean): PublishedEvent[] {
    const events: PublishedEvent[] = [];
    const add = (published: PublishedEvent | undefined): void => {
      if (published !== undefined && accepts(published.event)) events.push(published);
    };
    for (const call of this.#calls.values()) {
      add(call.started);
      for (const state of call.participants.values()) {
        add(state.joined);
        add(state.analysis);
        add(state.speech);
        add(state.emotion);
        add(state.quality);
      }
    }
    return events.sort((a, b) => a.order - b.order);
  }

  calls(): CallView[] {
    return [...this.#calls].map(([callId, { started, participants }]) => ({
      callId,
      startedAt: started.event.time,
      participants: [...participants.values()].map(viewOf),
    }));
  }

  #update(
    event: { readonly data: { callId: string; participantId: string } },
    change: (s: ParticipantState) => void,
  ): void {
    const state = this.#calls.get(event.data.callId)?.participants.get(event.data.participantId);
    if (state !== undefined) change(state);
  }
}

function viewOf(state: ParticipantState): ParticipantView {
  const joined = state.joined.event as EventOf<"participant.joined">;
  const emotion = state.emotion?.event as EventOf<"emotion"> | undefined;
  const quality = state.quality?.event as EventOf<"quality"> | undefined;
  const { participantId, role, displayName, transport, paused } = joined.data;
  const analysis = state.analysis?.event.type;
  return {
    participantId,
    role,
    ...(displayName === undefined ? {} : { displayName }),
    transport,
    joinedAt: joined.time,
    paused: analysis === undefined ? paused : analysis === "tonetap.participant.paused",
    speaking: state.speech?.event.type === "tonetap.speech.started",
    ...(emotion === undefined ? {} : { emotion: emotion.data }),
    ...(quality === undefined ? {} : { quality: quality.data }),
  };
}
