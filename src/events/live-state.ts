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
  readonly consent: EventData<"participant.joined">["consent"];
  readonly paused: boolean;
  /** What became of telling it that it is analysed, with the proof; absent where nobody is asked to. */
  readonly notice?: Pick<EventData<"participant.notice">, "state" | "attempt" | "proof" | "reason">;
  readonly speaking: boolean;
  /** `data` of the latest emotion event. */
  readonly emotion?: EventData<"emotion">;
  /** `data` of the latest participant.state event. */
  readonly state?: EventData<"participant.state">;
  /** `data` of the latest quality event. */
  readonly quality?: EventData<"quality">;
  /** `data` of every alert that stands. */
  readonly alerts: readonly EventData<"alert.raised">[];
}

/** One live call, as `GET /v1/calls` shows it. */
export interface CallView {
  readonly callId: string;
  /** RFC 3339. */
  readonly startedAt: string;
  /** `data` of the latest call.state event. */
  readonly state?: EventData<"call.state">;
  readonly participants: readonly ParticipantView[];
}

/** The latest event of each sort. Those of one sort replace each other: `speech.ended` takes the place of `speech.started`. */
interface ParticipantState {
  readonly joined: PublishedEvent;
  consent?: PublishedEvent;
  notice?: PublishedEvent;
  analysis?: PublishedEvent;
  speech?: PublishedEvent;
  emotion?: PublishedEvent;
  rolling?: PublishedEvent;
  quality?: PublishedEvent;
  /** Those that stand, by id. Bounded by the number of rules. */
  readonly alerts: Map<string, PublishedEvent>;
}

interface CallState {
  readonly started: PublishedEvent;
  rolling?: PublishedEvent;
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
        this.#calls.get(event.data.callId)?.participants.set(event.data.participantId, {
          joined: published,
          alerts: new Map(),
        });
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
          delete state.rolling;
          state.alerts.clear();
        });
        delete this.#calls.get(event.data.callId)?.rolling;
        return;
      case "tonetap.participant.consent":
        this.#update(event, (state) => {
          state.consent = published;
        });
        return;
      case "tonetap.participant.notice":
        this.#update(event, (state) => {
          state.notice = published;
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
      case "tonetap.participant.state":
        this.#update(event, (state) => {
          state.rolling = published;
        });
        return;
      case "tonetap.call.state": {
        const call = this.#calls.get(event.data.callId);
        if (call !== undefined) call.rolling = published;
        return;
      }
      case "tonetap.alert.raised":
        this.#update(event, (state) => state.alerts.set(event.data.alertId, published));
        return;
      case "tonetap.alert.cleared":
        this.#update(event, (state) => state.alerts.delete(event.data.alertId));
        return;
      // What is over is no part of the picture.
      case "tonetap.participant.discarded":
      case "tonetap.participant.recovered":
      case "tonetap.utterance":
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
      add(call.rolling);
      for (const state of call.participants.values()) {
        add(state.joined);
        add(state.consent);
        add(state.notice);
        add(state.analysis);
        add(state.speech);
        add(state.emotion);
        add(state.rolling);
        add(state.quality);
        for (const alert of state.alerts.values()) add(alert);
      }
    }
    return events.sort((a, b) => a.order - b.order);
  }

  calls(): CallView[] {
    return [...this.#calls].map(([callId, { started, rolling, participants }]) => ({
      callId,
      startedAt: started.event.time,
      ...(rolling === undefined ? {} : { state: (rolling.event as EventOf<"call.state">).data }),
      participants: [...participants.values()].map(viewOf),
    }));
  }

  participant(callId: string, participantId: string): ParticipantView | undefined {
    const state = this.#calls.get(callId)?.participants.get(participantId);
    return state === undefined ? undefined : viewOf(state);
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
  const rolling = state.rolling?.event as EventOf<"participant.state"> | undefined;
  const consent = state.consent?.event as EventOf<"participant.consent"> | undefined;
  const notice = state.notice?.event as EventOf<"participant.notice"> | undefined;
  const { participantId, role, displayName, transport, paused } = joined.data;
  const analysis = state.analysis?.event.type;
  return {
    participantId,
    role,
    ...(displayName === undefined ? {} : { displayName }),
    transport,
    joinedAt: joined.time,
    consent: consent?.data.consent ?? joined.data.consent,
    paused: analysis === undefined ? paused : analysis === "tonetap.participant.paused",
    ...(notice === undefined ? {} : { notice: noticeViewOf(notice.data) }),
    speaking: state.speech?.event.type === "tonetap.speech.started",
    ...(emotion === undefined ? {} : { emotion: emotion.data }),
    ...(rolling === undefined ? {} : { state: rolling.data }),
    ...(quality === undefined ? {} : { quality: quality.data }),
    alerts: [...state.alerts.values()].map(({ event }) => (event as EventOf<"alert.raised">).data),
  };
}

function noticeViewOf({
  callId: _call,
  participantId: _participant,
  role: _role,
  ...notice
}: EventData<"participant.notice">): NonNullable<ParticipantView["notice"]> {
  return notice;
}
