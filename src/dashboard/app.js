/** The page's start: connects, gives every event to its place, moves the timelines. */

import { CallBoard } from "./call-board.js";
import { connect } from "./client/index.js";
import { colourOf, ordered } from "./expressions.js";
import { knownKey, unlock } from "./key.js";
import { setUpMicrophone } from "./microphone.js";

/** Timelines move this often, ms: smooth enough for a minute across a card, cheap enough for fifty cards. */
const FRAME_MS = 50;
/** For people who asked for less motion. */
const CALM_FRAME_MS = 1000;

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const board = new CallBoard(byId("calls"), byId("empty"));
const legend = byId("legend");
/** @type {string[]} */
let legendLabels = [];

function drawLegend() {
  legend.replaceChildren(
    ...legendLabels.map((label, index) => {
      const item = document.createElement("li");
      const swatch = document.createElement("i");
      swatch.style.background = colourOf(label, index);
      item.append(swatch, label);
      return item;
    }),
  );
}

function stat(/** @type {string} */ name, /** @type {string} */ value) {
  /** @type {HTMLElement} */ (document.querySelector(`[data-stat="${name}"]`)).textContent = value;
}

function showStats(/** @type {any} */ data) {
  stat("calls", String(data.calls));
  stat("participants", String(data.participants));
  stat("windows", data.windowsPerSecond.toFixed(1));
  if (data.windowsPerSecond > 0) {
    stat("batch", data.meanBatchSize.toFixed(1));
    stat("latency", `${data.latencyMs.p50.toFixed(0)} / ${data.latencyMs.p99.toFixed(0)} ms`);
  }
  stat("cpu", `${(data.cpuShare * 100).toFixed(0)} %`);
  stat("model", `${data.model} on ${data.backend}`);
}

function setUpTheme() {
  const root = document.documentElement;
  const light = matchMedia("(prefers-color-scheme: light)");
  const apply = (/** @type {boolean} */ isLight) => {
    root.dataset.theme = isLight ? "light" : "dark";
    drawLegend();
    board.recolour();
  };
  const chosen = localStorage.getItem("tonetap-theme");
  apply(chosen === null ? light.matches : chosen === "light");
  light.addEventListener("change", () => {
    if (localStorage.getItem("tonetap-theme") === null) apply(light.matches);
  });
  byId("theme").addEventListener("click", () => {
    const next = root.dataset.theme === "light" ? "dark" : "light";
    localStorage.setItem("tonetap-theme", next);
    apply(next === "light");
  });
}

function showConnection(/** @type {any} */ status) {
  const line = byId("connection");
  line.dataset.state = status.state;
  line.textContent = {
    connecting: "connecting …",
    open: "live",
    waiting: "the connection is lost, trying again …",
    closed: `closed: ${status.reason || status.code}`,
  }[/** @type {"open"} */ (status.state)];
  if (status.state === "open") board.setReachable(true);
  if (status.state === "waiting" || status.state === "closed") {
    board.setReachable(false);
    for (const name of ["calls", "participants", "windows", "batch", "latency", "cpu"]) stat(name, "–");
  }
}

function showLegend(/** @type {Record<string, number>} */ scores) {
  const labels = ordered(Object.keys(scores));
  if (labels.join() === legendLabels.join()) return;
  legendLabels = labels;
  drawLegend();
}

/** ms that this machine's clock is ahead of the service's, by the least delayed event so far. */
let aheadMs = Number.POSITIVE_INFINITY;

function moveTimelines() {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let last = 0;
  const frame = (/** @type {number} */ time) => {
    if (time - last >= (calm.matches ? CALM_FRAME_MS : FRAME_MS)) {
      last = time;
      board.scroll(Date.now() - (Number.isFinite(aheadMs) ? aheadMs : 0));
    }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

setUpTheme();
const microphone = setUpMicrophone();
moveTimelines();

await unlock();
const connection = connect(new URL("v1/events", location.href), {
  ...(knownKey() === undefined ? {} : { token: () => knownKey() ?? "" }),
});
connection.on("status", showConnection);
connection.on("event", (event) => {
  aheadMs = Math.min(aheadMs, Date.now() - Date.parse(event.time));
  if (event.type === "tonetap.service.stats") showStats(event.data);
  else board.apply(event);
  if (event.type === "tonetap.emotion") showLegend(event.data.scores);
  if (event.type === "tonetap.participant.left") microphone.left(event.data.participantId);
});
