/** What is live, from events: calls, who is in them, what was heard of each over the last minutes. Owns all that pages show; draws nothing. */

/** Seconds that a timeline shows. */
export const SPAN_S = 60;
/** ms that a call stays after its end. */
const LINGER_MS = 4_000;
/** ms by which an event must be less delayed than all before it for the times on the page to be written anew. */
const CLOCK_STEP_MS = 500;
/** Kept a participant: a timeline at the shortest hop the service allows, and a little. */
const MAX_POINTS = 1_300;
/** Kept a call. */
const MAX_ALERTS = 100;
const MAX_UTTERANCES = 200;

const LEFT = {
  left: "has left",
  removed: "detached",
  inactive: "gone quiet: nothing came",
  failed: "failed",
  shutdown: "service is stopping",
};
const PAUSED = {
  "consent-pending": "waiting for consent",
  "consent-withdrawn": "consent withdrawn",
  "notice-pending": "waiting for the notice",
  policy: "paused by policy",
  operator: "paused",
};

/** Of who joins paused: who has agreed waits for the notice. @param {string} consent */
const pausedText = (consent) =>
  PAUSED[
    /** @type {keyof typeof PAUSED} */ (consent === "granted" ? "notice-pending" : `consent-${consent}`)
  ];

/** RFC 3339 → seconds since the epoch. */
export const secondsOf = (/** @type {string} */ time) => Date.parse(time) / 1000;

export class LiveParticipant {
  /** @param {LiveCall} call @param {any} joined data of participant.joined */
  constructor(call, joined) {
    this.call = call;
    this.id = joined.participantId;
    /** @type {string} */
    this.name = joined.displayName ?? joined.participantId;
    this.role = joined.role;
    this.transport = joined.transport;
    /** @type {"quiet" | "speaking" | "paused" | "left"} */
    this.state = joined.paused ? "paused" : "quiet";
    this.stateText = joined.paused ? pausedText(joined.consent) : "silent";
    /** @type {"pending" | "granted" | "withdrawn"} */
    this.consent = joined.consent;
    /** Data of the latest participant.notice event. @type {any} */
    this.notice = undefined;
    /** Data of the latest quality event. @type {any} */
    this.quality = undefined;
    this.forget();
  }

  /** What was heard before is gone from the service's memory, so from here too. */
  forget() {
    /** Windows: drawn from where the one before ended. @type {{from: number, at: number, scores: Record<string, number>, abstained: boolean}[]} */
    this.points = [];
    /** Talk-spurts; the last may be open. @type {{from: number, to: number, label: string}[]} */
    this.spurts = [];
    /** Seconds at which alerts were raised. @type {number[]} */
    this.marks = [];
    /** Data of the latest emotion event. @type {any} */
    this.emotion = undefined;
    /** Data of the latest participant.state event. @type {any} */
    this.rolling = undefined;
    /** Standing alerts by id. @type {Map<string, any>} */
    this.alerts = new Map();
    /** Counts what was forgotten, so that who draws knows. */
    this.epoch = (this.epoch ?? 0) + 1;
  }

  hear(/** @type {any} */ data) {
    const at = secondsOf(data.wall.end);
    const last = this.points.at(-1);
    this.emotion = data;
    if (last !== undefined && at <= last.at) return;
    const from = Math.max(secondsOf(data.wall.start), last?.at ?? 0);
    this.points.push({ from, at, scores: data.scores, abstained: data.abstained });
    while (this.points.length > MAX_POINTS || (this.points[0]?.at ?? at) < at - SPAN_S - 5)
      this.points.shift();
  }

  speech(/** @type {boolean} */ speaking, /** @type {any} */ data) {
    const at = secondsOf(data.wall.at);
    const last = this.spurts.at(-1);
    if (speaking) {
      if (last === undefined || at > last.from)
        this.spurts.push({ from: at, to: Number.POSITIVE_INFINITY, label: "" });
    } else if (last !== undefined) last.to = at;
    while ((this.spurts[0]?.to ?? at) < at - SPAN_S - 5) this.spurts.shift();
    if (this.state === "paused" || this.state === "left") return;
    this.state = speaking ? "speaking" : "quiet";
    this.stateText = speaking ? "speaking" : "silent";
  }

  /** The final word on a talk-spurt. */
  utterance(/** @type {any} */ data) {
    const from = secondsOf(data.wall.start);
    const spurt = this.spurts.findLast((candidate) => Math.abs(candidate.from - from) < 0.5);
    if (spurt !== undefined) spurt.label = labelOf(data.expression);
  }
}

export class LiveCall {
  /** @param {string} id @param {number} startedMs */
  constructor(id, startedMs) {
    this.id = id;
    this.startedMs = startedMs;
    this.over = false;
    /** @type {Map<string, LiveParticipant>} */
    this.participants = new Map();
    /** Data of the latest call.state event. @type {any} */
    this.rolling = undefined;
    /** Alerts, newest first, with how they ended. @type {{raised: any, timeMs: number, cleared: any}[]} */
    this.alertLog = [];
    /** Data of utterance events, newest first. @type {any[]} */
    this.utterances = [];
  }

  get standingAlerts() {
    return this.alertLog.filter(({ cleared }) => cleared === undefined);
  }
}

/** `angry`, `unsure`, or nothing where nothing was judged. */
export const labelOf = (/** @type {any} */ expression) =>
  expression === undefined ? "" : expression.abstained ? "unsure" : expression.top;

/** @typedef {{kind: string, call?: LiveCall, participant?: LiveParticipant, data?: any}} Change */

export class LiveStore {
  constructor() {
    /** @type {Map<string, LiveCall>} */
    this.calls = new Map();
    /** @type {Set<(change: Change) => void>} */
    this.listeners = new Set();
    /** ms that this machine's clock is ahead of the service's, by the least delayed event so far. */
    this.aheadMs = Number.POSITIVE_INFINITY;
    /** Data of the latest service.stats event. @type {any} */
    this.stats = undefined;
    this.reachable = true;
  }

  /** Seconds since the epoch by the service's clock. */
  now() {
    return (Date.now() - (Number.isFinite(this.aheadMs) ? this.aheadMs : 0)) / 1000;
  }

  /** @param {(change: Change) => void} listener @returns {() => void} stops it */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Without a connection what is shown may be stale: the next snapshot rebuilds it. @param {boolean} reachable */
  setReachable(reachable) {
    this.reachable = reachable;
    if (!reachable) this.calls.clear();
    this.#tell({ kind: "reset" });
  }

  /** @param {any} event a CloudEvent of Tonetap */
  apply(event) {
    const { data } = event;
    this.#hearClock(Date.parse(event.time));
    const kind = event.type.slice("tonetap.".length);
    if (kind === "service.stats") {
      this.stats = data;
      this.#tell({ kind, data });
      return;
    }
    if (kind === "call.started" || kind === "participant.joined")
      this.#open(data.callId, Date.parse(event.time));
    const call = this.calls.get(data.callId);
    if (call === undefined) return;
    if (kind === "participant.joined")
      call.participants.set(data.participantId, new LiveParticipant(call, data));
    const participant = call.participants.get(data.participantId);
    if (participant !== undefined) hearOf(participant, kind, event);
    else if (data.participantId !== undefined) return;
    if (kind === "call.state") call.rolling = data;
    if (kind === "call.ended") this.#end(call);
    this.#tell({ kind, call, ...(participant === undefined ? {} : { participant }), data });
  }

  /** The first events after a connection tell of the past: the clock is known with the first that does not. */
  #hearClock(/** @type {number} */ serviceMs) {
    const aheadMs = Date.now() - serviceMs;
    const stepMs = this.aheadMs - aheadMs;
    this.aheadMs = Math.min(this.aheadMs, aheadMs);
    if (stepMs > CLOCK_STEP_MS) this.#tell({ kind: "clock" });
  }

  #open(/** @type {string} */ id, /** @type {number} */ startedMs) {
    const known = this.calls.get(id);
    if (known !== undefined && !known.over) return;
    if (known !== undefined) this.#remove(known);
    const call = new LiveCall(id, startedMs);
    this.calls.set(id, call);
    this.#tell({ kind: "opened", call });
  }

  #end(/** @type {LiveCall} */ call) {
    call.over = true;
    setTimeout(() => {
      if (this.calls.get(call.id) === call) this.#remove(call);
    }, LINGER_MS);
  }

  #remove(/** @type {LiveCall} */ call) {
    this.calls.delete(call.id);
    this.#tell({ kind: "removed", call });
  }

  #tell(/** @type {Change} */ change) {
    for (const listener of [...this.listeners]) listener(change);
  }
}

function hearOf(
  /** @type {LiveParticipant} */ participant,
  /** @type {string} */ kind,
  /** @type {any} */ event,
) {
  const { data } = event;
  const { call } = participant;
  switch (kind) {
    case "emotion":
      participant.hear(data);
      break;
    case "speech.started":
    case "speech.ended":
      participant.speech(kind === "speech.started", data);
      break;
    case "utterance":
      participant.utterance(data);
      call.utterances.unshift(data);
      if (call.utterances.length > MAX_UTTERANCES) call.utterances.pop();
      break;
    case "participant.state":
      participant.rolling = data;
      break;
    case "quality":
      participant.quality = data;
      break;
    case "alert.raised":
      if (participant.alerts.has(data.alertId)) break;
      participant.alerts.set(data.alertId, data);
      participant.marks.push(secondsOf(event.time));
      if (participant.marks.length > MAX_ALERTS) participant.marks.shift();
      call.alertLog.unshift({ raised: data, timeMs: Date.parse(event.time), cleared: undefined });
      if (call.alertLog.length > MAX_ALERTS) call.alertLog.pop();
      break;
    case "alert.cleared": {
      participant.alerts.delete(data.alertId);
      const entry = call.alertLog.find(({ raised }) => raised.alertId === data.alertId);
      if (entry !== undefined) entry.cleared = data;
      break;
    }
    case "participant.consent":
      participant.consent = data.consent;
      break;
    case "participant.notice":
      participant.notice = data;
      break;
    case "participant.paused":
      participant.forget();
      participant.state = "paused";
      participant.stateText = PAUSED[/** @type {keyof typeof PAUSED} */ (data.reason)] ?? "paused";
      // Without consent nothing is told of what was heard.
      if (data.reason !== "operator") {
        call.utterances = call.utterances.filter(({ participantId }) => participantId !== participant.id);
        call.alertLog = call.alertLog.filter(({ raised }) => raised.participantId !== participant.id);
        call.rolling = undefined;
      }
      break;
    case "participant.resumed":
      participant.forget();
      participant.state = "quiet";
      participant.stateText = "silent";
      break;
    case "participant.left":
      participant.state = "left";
      participant.stateText = LEFT[/** @type {keyof typeof LEFT} */ (data.reason)] ?? "has left";
      break;
  }
}
