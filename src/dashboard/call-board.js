/** The calls on the page: turns events into cards. Owns which calls and participants are shown. */
import { ParticipantCard } from "./participant-card.js";

/** ms that a call stays on the page after its end. */
const LINGER_MS = 4_000;

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
  policy: "paused by policy",
  operator: "paused",
};

export class CallBoard {
  /** @param {HTMLElement} host @param {HTMLElement} empty shown while there is no call */
  constructor(host, empty) {
    this.host = host;
    this.empty = empty;
    /** @type {Map<string, {root: HTMLElement, started: number, cards: Map<string, ParticipantCard>}>} */
    this.calls = new Map();
  }

  /** @param {any} event a CloudEvent of Tonetap */
  apply(event) {
    const { data } = event;
    const kind = event.type.slice("tonetap.".length);
    if (kind === "call.started") this.#call(data.callId, Date.parse(event.time));
    else if (kind === "call.ended") this.#end(data.callId);
    else if (kind === "participant.joined") this.#join(data, Date.parse(event.time));
    const card = this.calls.get(data.callId)?.cards.get(data.participantId);
    if (card === undefined) return;
    switch (kind) {
      case "emotion":
        card.emotion(data);
        break;
      case "speech.started":
      case "speech.ended":
        card.speech(kind === "speech.started", data);
        break;
      case "quality":
        card.quality(data);
        break;
      case "participant.paused":
        card.setPaused(PAUSED[/** @type {keyof typeof PAUSED} */ (data.reason)] ?? "paused");
        break;
      case "participant.resumed":
        card.setPaused("");
        break;
      case "participant.left":
        card.left(LEFT[/** @type {keyof typeof LEFT} */ (data.reason)] ?? "has left");
        break;
    }
  }

  /** Without a connection what is shown may be stale; the next snapshot rebuilds it. @param {boolean} reachable */
  setReachable(reachable) {
    this.empty.dataset.reachable = String(reachable);
    if (!reachable) for (const id of [...this.calls.keys()]) this.#remove(id);
  }

  scroll(/** @type {number} */ nowMs) {
    for (const call of this.calls.values()) {
      for (const card of call.cards.values()) card.scroll(nowMs / 1000);
    }
  }

  recolour() {
    for (const call of this.calls.values()) for (const card of call.cards.values()) card.recolour();
  }

  #call(/** @type {string} */ id, /** @type {number} */ started) {
    const known = this.calls.get(id);
    if (known !== undefined) {
      if (known.root.dataset.over !== "true") return known;
      this.#remove(id);
    }
    const template = /** @type {HTMLTemplateElement} */ (document.getElementById("call-template"));
    const root = /** @type {HTMLElement} */ (template.content.cloneNode(true).firstElementChild);
    const title = /** @type {HTMLElement} */ (root.querySelector("h2"));
    title.textContent = id;
    title.title = id;
    /** @type {HTMLElement} */ (root.querySelector(".since")).textContent =
      `since ${new Date(started).toLocaleTimeString()}`;
    const call = { root, started, cards: new Map() };
    this.calls.set(id, call);
    this.host.append(root);
    this.empty.hidden = true;
    return call;
  }

  #join(/** @type {any} */ data, /** @type {number} */ time) {
    const call = this.#call(data.callId, time);
    call.cards.get(data.participantId)?.close();
    const host = /** @type {HTMLElement} */ (call.root.querySelector(".participants"));
    call.cards.set(data.participantId, new ParticipantCard(host, data));
  }

  #end(/** @type {string} */ id) {
    const call = this.calls.get(id);
    if (call === undefined) return;
    call.root.dataset.over = "true";
    setTimeout(() => {
      if (this.calls.get(id) === call) this.#remove(id);
    }, LINGER_MS);
  }

  #remove(/** @type {string} */ id) {
    const call = this.calls.get(id);
    if (call === undefined) return;
    for (const card of call.cards.values()) card.close();
    call.root.remove();
    this.calls.delete(id);
    this.empty.hidden = this.calls.size > 0;
  }
}
