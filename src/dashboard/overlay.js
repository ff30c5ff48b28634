/** Tiles to lay over a conference's video: `overlay.html?call=ID`. The page is transparent; a tile is a name, a word and a colour. */
import { connect } from "./client/index.js";
import { el, setText } from "./dom.js";
import { colourOf, ordered } from "./expressions.js";
import { knownKey } from "./key.js";
import { LiveStore } from "./live-store.js";
import { confidenceText, expressionText, trendText } from "./words.js";

const callId = new URL(location.href).searchParams.get("call");
const tiles = /** @type {HTMLElement} */ (document.getElementById("tiles"));
const problem = /** @type {HTMLElement} */ (document.getElementById("problem"));
const store = new LiveStore();
/** @type {Map<string, {root: HTMLElement, name: HTMLElement, word: HTMLElement, share: HTMLElement, trend: HTMLElement}>} */
const shown = new Map();

function tell(/** @type {string} */ text) {
  problem.hidden = text === "";
  setText(problem, text);
}

/** @param {import("./live-store.js").LiveParticipant} participant */
function show(participant) {
  const tile = shown.get(participant.id) ?? add(participant);
  const { emotion, rolling, state } = participant;
  tile.root.dataset.state = state;
  tile.root.dataset.alert = String(participant.alerts.size > 0);
  setText(tile.name, participant.name);
  setText(tile.word, state === "paused" ? "not analysed" : expressionText(emotion));
  setText(tile.share, confidenceText(emotion));
  setText(tile.trend, trendText(rolling));
  const sure = emotion !== undefined && !emotion.abstained;
  const labels = sure ? ordered(Object.keys(emotion.scores)) : [];
  tile.root.style.setProperty(
    "--tone",
    sure ? colourOf(emotion.top, labels.indexOf(emotion.top)) : "#8a96a3",
  );
}

/** @param {import("./live-store.js").LiveParticipant} participant */
function add(participant) {
  const [name, word, share, trend] = [el("b.name"), el("span.word"), el("span.share"), el("span.trend")];
  const root = el("li", null, el("i.tone", { "aria-hidden": "true" }), name, word, share, trend);
  const tile = { root, name, word, share, trend };
  shown.set(participant.id, tile);
  tiles.append(root);
  return tile;
}

function remove(/** @type {string} */ id) {
  shown.get(id)?.root.remove();
  shown.delete(id);
}

store.listen(({ kind, participant }) => {
  if (kind === "reset" || kind === "removed") for (const id of [...shown.keys()]) remove(id);
  else if (participant?.state === "left") remove(participant.id);
  else if (participant !== undefined) show(participant);
});

if (callId === null) tell("Say which call: overlay.html?call=ID");
else {
  const token = knownKey();
  const connection = connect(new URL("v1/events", location.href), {
    filter: { calls: [callId] },
    ...(token === undefined ? {} : { token }),
  });
  connection.on("status", ({ state }) => {
    if (state === "open") tell("");
    if (state === "waiting") {
      store.setReachable(false);
      tell("the connection is lost, trying again …");
    }
  });
  connection.on("event", (event) => store.apply(event));
}
