/** For whoever talks to a customer: the other voice's state in one glance. */
import { el, find, setText } from "../dom.js";
import { colourOf, ordered } from "../expressions.js";
import { labelOf } from "../live-store.js";
import { Strip } from "../strip.js";
import { duration, percent, trendText } from "../words.js";
import { alertItem } from "./call.js";

const SHOWN_ALERTS = 3;
/** Whom an agent wants to see, first come first. */
const ROLES = ["customer", "patient", "guest", "speaker"];

export class AssistView {
  /** @param {HTMLElement} host @param {import("../live-store.js").LiveStore} store @param {string} callId */
  constructor(host, store, callId) {
    this.title = `Assist: ${callId}`;
    this.store = store;
    this.callId = callId;
    this.root = el(
      "div.assist",
      null,
      el("p.back", null, el("a", { href: `#/call/${encodeURIComponent(callId)}` }, "← The whole call")),
      el(
        "section.glance",
        { "aria-live": "polite" },
        el("p.who"),
        el("p.big"),
        el("p.trend"),
        el("p.axes"),
        el("div.chart", { "aria-hidden": "true" }),
        el("p.last"),
      ),
      el(
        "section.panel",
        { "aria-label": "Alerts" },
        el("ul.alert-log"),
        el("p.none", null, "No alert so far."),
      ),
      el("ul.others", { "aria-label": "Other voices" }),
    );
    host.append(this.root);
    /** @type {Strip | undefined} */
    this.strip = undefined;
    /** @type {import("../live-store.js").LiveParticipant | undefined} */
    this.shown = undefined;
    this.show();
  }

  get call() {
    return this.store.calls.get(this.callId);
  }

  /** The customer, or whoever comes nearest to one. */
  get customer() {
    const present = [...(this.call?.participants.values() ?? [])].filter(({ state }) => state !== "left");
    const rank = (/** @type {{role: string}} */ { role }) => {
      const index = ROLES.indexOf(role);
      return index < 0 ? ROLES.length : index;
    };
    return present.sort((a, b) => rank(a) - rank(b))[0];
  }

  /** @param {import("../live-store.js").Change} change */
  apply({ kind, call, participant }) {
    if (kind !== "reset" && call?.id !== this.callId) return;
    if (participant !== undefined && participant === this.shown) {
      if (kind === "emotion") this.strip?.addPoint();
      else if (kind !== "quality" && kind !== "participant.state") this.strip?.redraw();
    }
    if (kind !== "quality") this.show();
  }

  show() {
    const { customer } = this;
    if (customer !== this.shown) {
      this.strip?.close();
      this.shown = customer;
      this.strip =
        customer === undefined ? undefined : new Strip(find(this.root, ".chart"), customer, this.store);
    }
    this.#glance(customer);
    const log = this.call?.alertLog.slice(0, SHOWN_ALERTS) ?? [];
    find(this.root, ".none").hidden = log.length > 0;
    find(this.root, ".alert-log").replaceChildren(
      ...log.map((alert) => alertItem(alert, this.call?.participants.get(alert.raised.participantId)?.name)),
    );
    const others = [...(this.call?.participants.values() ?? [])].filter((other) => other !== customer);
    find(this.root, ".others").replaceChildren(
      ...others.map(({ name, role, stateText, rolling }) =>
        el(
          "li",
          null,
          el("b", null, name),
          ` ${role} · ${stateText}`,
          rolling === undefined ? "" : ` · ${rolling.top}`,
        ),
      ),
    );
  }

  recolour() {
    this.strip?.redraw();
    this.show();
  }

  close() {
    this.strip?.close();
  }

  /** @param {import("../live-store.js").LiveParticipant | undefined} customer */
  #glance(customer) {
    const text = (/** @type {string} */ selector, /** @type {string} */ value) =>
      setText(find(this.root, selector), value);
    const state = customer?.rolling;
    const glance = find(this.root, ".glance");
    glance.dataset.alert = String((customer?.alerts.size ?? 0) > 0);
    glance.style.setProperty("--tone", state === undefined ? "var(--line)" : colour(state));
    text(".who", customer === undefined ? "This call is not live." : `${customer.name} · ${customer.role}`);
    if (customer === undefined || state === undefined) {
      text(
        ".big",
        customer === undefined ? "–" : customer.state === "paused" ? "not analysed" : "listening …",
      );
      for (const selector of [".trend", ".axes", ".last"]) text(selector, "");
      return;
    }
    text(".big", state.abstainedShare > 0.5 ? "unsure" : `${state.top} ${percent(state.confidence)}`);
    text(".trend", trendText(state));
    text(".axes", `${pleasant(state.valence)}, ${excited(state.arousal)}`);
    const last = this.call?.utterances.find(({ participantId }) => participantId === customer.id);
    const label = last === undefined ? "" : labelOf(last.expression);
    text(".last", label === "" ? "" : `Last said for ${duration(last.durationMs)}: ${label}`);
  }
}

const colour = (/** @type {any} */ { top, scores }) =>
  colourOf(top, ordered(Object.keys(scores)).indexOf(top));
const pleasant = (/** @type {number} */ valence) =>
  valence < -0.15 ? "unpleasant" : valence > 0.15 ? "pleasant" : "neither pleasant nor unpleasant";
const excited = (/** @type {number} */ arousal) =>
  arousal < -0.15 ? "calm" : arousal > 0.3 ? "excited" : "moderately excited";
