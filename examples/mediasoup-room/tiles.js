/** One tile a participant: the face, and over it what the voice expresses, live from Tonetap. */
import { connect } from "tonetap/client";

/** Told apart with any colour vision, and never the only sign: the word stands beside. */
const COLOURS = {
  happy: "#f0e442",
  surprise: "#00b98a",
  calm: "#8fd3ff",
  neutral: "#b3bdc7",
  sad: "#56b4e9",
  fear: "#d990b8",
  disgust: "#e69f00",
  angry: "#f2703a",
};

export class Tiles {
  #list;
  #tiles = new Map();

  constructor(list) {
    this.#list = list;
  }

  /** Follows what Tonetap at `url` says of a call, until the page goes. */
  follow(url, callId) {
    const connection = connect(url, { filter: { calls: [callId] } });
    connection.on("status", (status) => {
      // After a break without a gap it goes on; otherwise the events that follow say everything anew.
      if (status.state === "open" && !status.resumed) for (const tile of this.#tiles.values()) tile.forget();
    });
    connection.on("participant.joined", ({ data }) => this.of(data.participantId).joined(data));
    connection.on("participant.paused", ({ data }) => this.of(data.participantId).pause());
    connection.on("participant.resumed", ({ data }) => this.of(data.participantId).forget());
    connection.on("participant.left", ({ data }) => this.#tiles.get(data.participantId)?.forget());
    connection.on("speech.started", ({ data }) => this.of(data.participantId).speaks(true));
    connection.on("speech.ended", ({ data }) => this.of(data.participantId).speaks(false));
    connection.on("emotion", ({ data }) => this.of(data.participantId).show(data));
    connection.on("participant.state", ({ data }) => this.of(data.participantId).trend(data));
  }

  /** The tile of a participant; new if there is none. */
  of(name, title = name) {
    const known = this.#tiles.get(name);
    if (known !== undefined) return known;
    const tile = new Tile(name, title);
    this.#tiles.set(name, tile);
    this.#list.append(tile.root);
    return tile;
  }

  remove(name) {
    this.#tiles.get(name)?.root.remove();
    this.#tiles.delete(name);
  }
}

class Tile {
  root = element("li", "tile");
  #face = element("div", "face");
  #word = element("span", "word");
  #share = element("span", "share");
  #trend = element("span", "trend");
  #scores = element("div", "scores");
  #bars = new Map();

  constructor(name, title) {
    this.#face.textContent = name.slice(0, 1).toUpperCase();
    const heading = element("b", "name");
    heading.textContent = title;
    const overlay = element("div", "overlay");
    overlay.append(heading, this.#word, this.#share, this.#trend, this.#scores);
    this.root.append(this.#face, overlay);
    this.root.dataset.name = name;
  }

  /** Shows a video track instead of the initial. */
  video(track, mirrored = false) {
    const video = element("video", mirrored ? "mirrored" : "");
    Object.assign(video, { autoplay: true, muted: true, playsInline: true });
    video.srcObject = new MediaStream([track]);
    this.#face.replaceChildren(video);
    return video;
  }

  joined({ paused }) {
    this.forget();
    if (paused) this.pause();
  }

  pause() {
    this.forget();
    this.#word.textContent = "not analysed";
  }

  /** Nothing is known of this voice. */
  forget() {
    this.speaks(false);
    for (const part of [this.#word, this.#share, this.#trend]) part.textContent = "";
    this.#bars.clear();
    this.#scores.replaceChildren();
    this.root.style.removeProperty("--tone");
  }

  speaks(speaking) {
    this.root.toggleAttribute("data-speaking", speaking);
  }

  show({ top, confidence, abstained, scores }) {
    this.#word.textContent = abstained ? "unsure" : top;
    this.#share.textContent = abstained ? "" : `${Math.round(confidence * 100)} %`;
    this.root.style.setProperty("--tone", (!abstained && COLOURS[top]) || "#b3bdc7");
    for (const [label, score] of Object.entries(scores)) {
      const bar = this.#bars.get(label) ?? this.#add(label);
      bar.value = score;
    }
  }

  trend({ trends: [trend] }) {
    this.#trend.textContent =
      trend === undefined
        ? ""
        : `${trend.direction === "rising" ? "↗" : "↘"} ${trend.of} for ${Math.round(trend.forMs / 1000)} s`;
  }

  #add(label) {
    const meter = element("meter", "score");
    meter.ariaLabel = label;
    meter.title = label;
    meter.style.setProperty("--bar", COLOURS[label] ?? "#b3bdc7");
    this.#bars.set(label, meter);
    this.#scores.append(meter);
    return meter;
  }
}

function element(tag, className) {
  const node = document.createElement(tag);
  node.className = className;
  return node;
}
