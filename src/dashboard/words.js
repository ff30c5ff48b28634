/** Numbers and states in words. */

export const percent = (/** @type {number} */ share, digits = 0) => `${(share * 100).toFixed(digits)} %`;

export const signed = (/** @type {number} */ value) =>
  `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

/** 95 → `1 min 35 s` */
export function duration(/** @type {number} */ ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

const ARROWS = { rising: "↗", falling: "↘" };

/** The strongest trend: `↗ angry rising for 20 s`; without one `steady`. @param {any} rolling data of a state event */
export function trendText(rolling) {
  const [trend] = rolling?.trends ?? [];
  if (trend === undefined) return rolling === undefined ? "" : "→ steady";
  const arrow = ARROWS[/** @type {keyof typeof ARROWS} */ (trend.direction)] ?? "";
  const since = trend.forMs < 1000 ? "" : ` for ${duration(trend.forMs)}`;
  return `${arrow} ${trend.of} ${trend.direction}${since}`;
}

/** What a voice expresses now, in two words. @param {any} emotion data of an emotion event */
export function expressionText(emotion) {
  if (emotion === undefined) return "–";
  return emotion.abstained ? "unsure" : emotion.top;
}

export const confidenceText = (/** @type {any} */ emotion) =>
  emotion === undefined || emotion.abstained ? "" : percent(emotion.confidence);

const NOTICE = { requested: "asked for", failed: "not given", cancelled: "not needed" };

/** Whether somebody was told that they are analysed: `played by ivr-2`. @param {any} notice data of participant.notice */
export function noticeText(notice) {
  if (notice === undefined) return "–";
  if (notice.proof !== undefined) return `${notice.proof.how} by ${notice.proof.by}`;
  return NOTICE[/** @type {keyof typeof NOTICE} */ (notice.state)] ?? notice.state;
}

const CLEARED = {
  calm: "no longer met",
  paused: "analysis paused",
  left: "has left",
  rule: "the rule changed",
};

/** @param {{raised: any, cleared: any}} alert */
export function alertText({ raised, cleared }) {
  const what = `${raised.ruleName ?? raised.ruleId}: ${raised.measure} ${raised.value.toFixed(2)}`;
  if (cleared === undefined) return what;
  const reason = CLEARED[/** @type {keyof typeof CLEARED} */ (cleared.reason)] ?? cleared.reason;
  return `${what} – over after ${duration(cleared.durationMs)} (${reason})`;
}
