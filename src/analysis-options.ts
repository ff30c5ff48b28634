/** Which options of the configuration the analysis of recordings looks at: `tonetap analyze` takes no others. */

const SECTIONS: ReadonlySet<string> = new Set(["model", "window", "jitter", "smoothing", "alerts"]);

const SINGLE: ReadonlySet<string> = new Set([
  "events.instance",
  "events.stateMs",
  "events.stateTimeConstantMs",
]);

/** Of the model: what belongs to a service, or is set for work that nobody waits for. */
const UNUSED: ReadonlySet<string> = new Set([
  "model.folder",
  "model.busyDelayMs",
  "model.deadlineMs",
  "model.latencyTargetMs",
  "model.tenantWeights",
]);

export const isUsedByAnalysis = ({ path }: { readonly path: string }): boolean => {
  const [section = ""] = path.split(".");
  return SINGLE.has(path) || (SECTIONS.has(section) && !UNUSED.has(path));
};
