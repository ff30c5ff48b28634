/** The page's start: theme, key, connection, and which view is shown for the address after `#`. */

import { connect } from "./client/index.js";
import { colourOf, forgetColours, ordered } from "./expressions.js";
import { knownKey, unlock } from "./key.js";
import { LiveStore } from "./live-store.js";
import { setUpMicrophone } from "./microphone.js";
import { AssistView } from "./views/assist.js";
import { CallView } from "./views/call.js";
import { ModelView } from "./views/model.js";
import { OperationsView } from "./views/operations.js";
import { RoomsView } from "./views/rooms.js";

/** @typedef {{title: string, apply: (change: import("./live-store.js").Change) => void, recolour: () => void, close: () => void}} View */

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const store = new LiveStore();
const legend = byId("legend");
/** @type {string[]} */
let legendLabels = [];
/** @type {View | undefined} */
let view;

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

function showLegend(/** @type {Record<string, number>} */ scores) {
  const labels = ordered(Object.keys(scores));
  if (labels.join() === legendLabels.join()) return;
  legendLabels = labels;
  drawLegend();
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
    forgetColours();
    drawLegend();
    view?.recolour();
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
  if (status.state === "open") store.setReachable(true);
  if (status.state === "waiting" || status.state === "closed") {
    store.setReachable(false);
    for (const name of ["calls", "participants", "windows", "batch", "latency", "cpu"]) stat(name, "–");
  }
}

/** `#/call/ID` and the like. An id that is broken is shown as it came. */
function route() {
  const [, name = "", encoded = ""] = location.hash.slice(1).split("/");
  let id = encoded;
  try {
    id = decodeURIComponent(encoded);
  } catch (problem) {
    console.warn("The address is not percent-encoded as it should be:", problem);
  }
  view?.close();
  const host = byId("view");
  host.replaceChildren();
  view = viewOf(name, id, host);
  document.body.dataset.view = name === "" ? "rooms" : name;
  document.title = view.title === "Live" ? "Tonetap" : `${view.title} – Tonetap`;
  for (const link of document.querySelectorAll("nav a")) {
    const here =
      link.getAttribute("href") === (name === "model" || name === "operations" ? `#/${name}` : "#/");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** @param {string} name @param {string} id @param {HTMLElement} host @returns {View} */
function viewOf(name, id, host) {
  switch (name) {
    case "call":
      return new CallView(host, store, id);
    case "assist":
      return new AssistView(host, store, id);
    case "model":
      return new ModelView(host);
    case "operations":
      return new OperationsView(host);
    default:
      return new RoomsView(host, store);
  }
}

setUpTheme();
const microphone = setUpMicrophone();
store.listen((change) => view?.apply(change));
addEventListener("hashchange", () => {
  route();
  byId("view").focus({ preventScroll: true });
  scrollTo(0, 0);
});

await unlock();
// Not earlier: views ask the service, with the key.
route();
const connection = connect(new URL("v1/events", location.href), {
  ...(knownKey() === undefined ? {} : { token: () => knownKey() ?? "" }),
});
connection.on("status", showConnection);
connection.on("event", (event) => {
  store.apply(event);
  if (event.type === "tonetap.service.stats") showStats(event.data);
  if (event.type === "tonetap.emotion") showLegend(event.data.scores);
  if (event.type === "tonetap.participant.left") microphone.left(event.data.participantId);
  if (event.type === "tonetap.participant.consent") {
    microphone.consented(event.data.participantId, event.data.consent);
  }
});
