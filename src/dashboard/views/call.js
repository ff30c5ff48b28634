/** One call: everyone's timeline, alerts, talk-spurts. */
import { el, find, setText } from "../dom.js";
import { labelOf } from "../live-store.js";
import { ParticipantCard } from "../participant-card.js";
import { alertText, duration, percent, trendText } from "../words.js";

/** Talk-spurts in the list. */
const SHOWN_UTTERANCES = 50;

export class CallView {
  /** @param {HTMLElement} host @param {import("../live-store.js").LiveStore} store @param {string} callId */
  constructor(host, store, callId) {
    this.title = callId;
    this.store = store;
    this.callId = callId;
    const path = encodeURIComponent(callId);
    this.root = el(
      "div.one-call",
      null,
      el(
        "header.call-head",
        null,
        el("p.back", null, el("a", { href: "#/" }, "← All calls")),
        el("h2", { title: callId }, callId),
        el("p.since"),
        el("p.trend"),
        el(
          "p.links",
          null,
          el("a", { href: `#/assist/${path}` }, "Agent assist"),
          el("a", { href: `overlay.html?call=${path}`, target: "_blank" }, "Overlay"),
        ),
      ),
      el("p.gone", { role: "status" }, "This call is not live."),
      el("div.participants"),
      el(
        "div.columns",
        null,
        el(
          "section.panel",
          { "aria-labelledby": "alerts-title" },
          el("h3", { id: "alerts-title" }, "Alerts"),
          el("ul.alert-log", { "aria-live": "polite" }),
          el("p.none", null, "None so far. Rules: ", el("a", { href: "v1/alerts/rules" }, "v1/alerts/rules")),
        ),
        el(
          "section.panel",
          { "aria-labelledby": "spurts-title" },
          el("h3", { id: "spurts-title" }, "Talk-spurts"),
          el(
            "div.scroll",
            { tabindex: "0", role: "region", "aria-labelledby": "spurts-title" },
            utteranceTable(),
          ),
        ),
      ),
    );
    host.append(this.root);
    /** @type {Map<import("../live-store.js").LiveParticipant, ParticipantCard>} */
    this.cards = new Map();
    this.#fill();
    this.timer = setInterval(() => this.#tick(), 1000);
  }

  get call() {
    return this.store.calls.get(this.callId);
  }

  /** @param {import("../live-store.js").Change} change */
  apply({ kind, call, participant }) {
    if (kind === "reset" || ((kind === "removed" || kind === "opened") && call?.id === this.callId))
      this.#fill();
    else if (kind === "clock") this.#tick();
    else if (call === undefined || call !== this.call) return;
    if (participant !== undefined) this.#card(participant).update(kind);
    if (kind === "call.state") setText(find(this.root, ".trend"), trendText(this.call?.rolling));
    if (kind.startsWith("alert.") || kind === "participant.paused") this.#showAlerts();
    if (kind === "utterance" || kind === "participant.paused") this.#showUtterances();
  }

  recolour() {
    for (const card of this.cards.values()) card.recolour();
  }

  close() {
    clearInterval(this.timer);
    for (const card of this.cards.values()) card.close();
  }

  #fill() {
    for (const card of this.cards.values()) card.close();
    this.cards.clear();
    const { call } = this;
    for (const participant of call?.participants.values() ?? []) this.#card(participant);
    this.root.dataset.live = String(call !== undefined);
    setText(find(this.root, ".trend"), trendText(call?.rolling));
    this.#showAlerts();
    this.#showUtterances();
    this.#tick();
  }

  #card(/** @type {import("../live-store.js").LiveParticipant} */ participant) {
    const known = this.cards.get(participant);
    if (known !== undefined) return known;
    for (const [other, card] of this.cards) {
      if (other.id !== participant.id) continue;
      card.close();
      this.cards.delete(other);
    }
    const card = new ParticipantCard(find(this.root, ".participants"), participant, this.store);
    this.cards.set(participant, card);
    return card;
  }

  #tick() {
    const { call } = this;
    const text = call === undefined ? "" : `for ${duration(this.store.now() * 1000 - call.startedMs)}`;
    setText(find(this.root, ".since"), text);
  }

  #showAlerts() {
    const log = this.call?.alertLog ?? [];
    find(this.root, ".panel .none").hidden = log.length > 0;
    find(this.root, ".alert-log").replaceChildren(
      ...log.map((alert) => alertItem(alert, this.call?.participants.get(alert.raised.participantId)?.name)),
    );
  }

  #showUtterances() {
    const rows = (this.call?.utterances ?? []).slice(0, SHOWN_UTTERANCES).map((utterance) => {
      const { expression, wall, durationMs, participantId } = utterance;
      return el(
        "tr",
        null,
        el("td", null, new Date(wall.start).toLocaleTimeString()),
        el("td", null, this.call?.participants.get(participantId)?.name ?? participantId),
        el("td.number", null, `${(durationMs / 1000).toFixed(1)} s`),
        el("td", null, labelOf(expression) || "–"),
        el(
          "td.number",
          null,
          expression === undefined || expression.abstained ? "" : percent(expression.confidence),
        ),
      );
    });
    find(this.root, "tbody").replaceChildren(...rows);
  }
}

/** @param {{raised: any, timeMs: number, cleared: any}} alert @param {string} [name] */
export function alertItem(alert, name = alert.raised.participantId) {
  const standing = alert.cleared === undefined;
  return el(
    "li",
    { "data-standing": String(standing) },
    el("span.flag", { "aria-hidden": "true" }, standing ? "⚑" : "⚐"),
    el("span", null, el("b", null, name), ` ${alertText(alert)}`),
    el("time", null, new Date(alert.timeMs).toLocaleTimeString()),
  );
}

function utteranceTable() {
  const heads = ["At", "Voice", "Length", "Expressed", "Probability"];
  return el(
    "table",
    null,
    el("thead", null, el("tr", null, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody"),
  );
}
