/** All live calls, one line a participant. */
import { el, find, setAttribute, setText } from "../dom.js";
import { Strip } from "../strip.js";
import { confidenceText, duration, expressionText, trendText } from "../words.js";

export class RoomsView {
  title = "Live";

  /** @param {HTMLElement} host @param {import("../live-store.js").LiveStore} store */
  constructor(host, store) {
    this.store = store;
    this.root = el("div.rooms");
    this.empty = /** @type {HTMLElement} */ (
      /** @type {HTMLTemplateElement} */ (document.getElementById("empty-template")).content.cloneNode(true)
        .firstElementChild
    );
    host.append(this.empty, this.root);
    /** @type {Map<import("../live-store.js").LiveCall, Room>} */
    this.rooms = new Map();
    this.#fill();
    this.timer = setInterval(() => this.#tick(), 1000);
  }

  /** @param {import("../live-store.js").Change} change */
  apply({ kind, call, participant }) {
    if (kind === "reset") this.#fill();
    else if (kind === "clock") this.#tick();
    else if (kind === "removed" && call !== undefined) this.#drop(call);
    else if (call !== undefined) {
      if (!this.rooms.has(call)) this.#add(call);
      this.rooms.get(call)?.update(kind, participant);
    }
    this.#showEmpty();
  }

  recolour() {
    for (const room of this.rooms.values()) room.recolour();
  }

  close() {
    clearInterval(this.timer);
    for (const room of this.rooms.values()) room.close();
  }

  #fill() {
    for (const call of [...this.rooms.keys()]) this.#drop(call);
    for (const call of this.store.calls.values()) this.#add(call);
    this.#showEmpty();
  }

  #add(/** @type {import("../live-store.js").LiveCall} */ call) {
    const room = new Room(call, this.store);
    this.rooms.set(call, room);
    this.root.append(room.root);
  }

  #drop(/** @type {import("../live-store.js").LiveCall} */ call) {
    this.rooms.get(call)?.close();
    this.rooms.delete(call);
  }

  #showEmpty() {
    this.empty.hidden = this.rooms.size > 0;
    setAttribute(this.empty, "data-reachable", String(this.store.reachable));
  }

  #tick() {
    for (const room of this.rooms.values()) room.tick();
  }
}

class Room {
  /** @param {import("../live-store.js").LiveCall} call @param {import("../live-store.js").LiveStore} store */
  constructor(call, store) {
    this.call = call;
    this.store = store;
    const path = encodeURIComponent(call.id);
    this.root = el(
      "section.room",
      { "data-call": call.id },
      el(
        "header",
        null,
        el("h2", { title: call.id }, el("a", { href: `#/call/${path}` }, call.id)),
        el("p.since"),
        el("p.trend"),
        el(
          "p.links",
          null,
          el("a", { href: `#/assist/${path}` }, "Assist"),
          el("a", { href: `overlay.html?call=${path}`, target: "_blank" }, "Overlay"),
        ),
      ),
      el("ul.rows"),
    );
    /** @type {Map<import("../live-store.js").LiveParticipant, Row>} */
    this.rows = new Map();
    for (const participant of call.participants.values()) this.#row(participant);
    this.tick();
  }

  /** @param {string} kind @param {import("../live-store.js").LiveParticipant} [participant] */
  update(kind, participant) {
    setAttribute(this.root, "data-over", String(this.call.over));
    if (kind === "call.state") setText(find(this.root, ".trend"), trendText(this.call.rolling));
    if (participant !== undefined) this.#row(participant).update(kind);
    if (kind === "participant.joined" || kind === "participant.left") this.tick();
  }

  tick() {
    const ms = this.store.now() * 1000 - this.call.startedMs;
    const count = this.call.participants.size;
    setText(find(this.root, ".since"), `${duration(ms)} · ${count} ${count === 1 ? "voice" : "voices"}`);
  }

  recolour() {
    for (const row of this.rows.values()) row.strip.redraw();
  }

  close() {
    for (const row of this.rows.values()) row.close();
    this.root.remove();
  }

  #row(/** @type {import("../live-store.js").LiveParticipant} */ participant) {
    const known = this.rows.get(participant);
    if (known !== undefined) return known;
    // Whoever joins again takes the old one's place.
    for (const [other, row] of this.rows) {
      if (other.id !== participant.id) continue;
      row.close();
      this.rows.delete(other);
    }
    const row = new Row(find(this.root, ".rows"), participant, this.store);
    this.rows.set(participant, row);
    return row;
  }
}

class Row {
  /** @param {HTMLElement} host @param {import("../live-store.js").LiveParticipant} participant @param {{now: () => number}} clock */
  constructor(host, participant, clock) {
    this.participant = participant;
    this.name = el("b.name", { title: participant.name }, participant.name);
    this.state = el("span.state");
    this.now = el("b.expression");
    this.confidence = el("span.confidence");
    this.trend = el("span.trend");
    this.flag = el("span.flag");
    const chart = el("div.chart", { "aria-hidden": "true" });
    this.root = el(
      "li.row",
      null,
      el("span.dot", { "aria-hidden": "true" }),
      el("div.who", null, this.name, this.state),
      chart,
      el("div.what", null, this.flag, this.now, " ", this.confidence, this.trend),
    );
    host.append(this.root);
    this.strip = new Strip(chart, participant, clock);
    this.update("joined");
  }

  update(/** @type {string} */ kind) {
    if (kind === "emotion") this.strip.addPoint();
    else if (kind !== "quality" && kind !== "participant.state") this.strip.redraw();
    const { participant } = this;
    setAttribute(this.root, "data-state", participant.state);
    setAttribute(this.root, "data-unsure", String(participant.emotion?.abstained ?? false));
    setText(this.state, `${participant.role} · ${participant.stateText}`);
    setText(this.now, expressionText(participant.emotion));
    setText(this.confidence, confidenceText(participant.emotion));
    setText(this.trend, trendText(participant.rolling));
    const standing = participant.alerts.size;
    setText(this.flag, standing === 0 ? "" : "⚑");
    this.flag.title = [...participant.alerts.values()]
      .map((alert) => alert.ruleName ?? alert.ruleId)
      .join(", ");
  }

  close() {
    this.strip.close();
    this.root.remove();
  }
}
