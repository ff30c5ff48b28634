/** Which events a subscriber wants: the filter's shape, how it is read from a query, and how it is applied. */
import { z } from "zod";
import { TonetapError } from "../core/errors.ts";
import { EVENT_KINDS, type EventKind, type TonetapEvent } from "./schema.ts";

/** Names one list of a filter may hold. */
const MAX_LIST = 256;

const QUERY_NAMES: readonly string[] = ["call", "participant", "kinds", "label", "minConfidence", "filter"];

const ids = z
  .union([z.literal("*"), z.array(z.string().min(1).max(128)).max(MAX_LIST)], {
    error: `must be "*" or a list of up to ${MAX_LIST} ids of 1–128 characters`,
  })
  .optional()
  .describe(`"*" or absent: all. A list (up to ${MAX_LIST} ids): these. An empty list: none.`);

export const eventFilterSchema = z
  .strictObject({
    calls: ids,
    participants: ids,
    kinds: z
      .union([z.literal("*"), z.array(z.enum(EVENT_KINDS)).max(MAX_LIST)], {
        error: `must be "*" or a list of ${EVENT_KINDS.join(", ")}`,
      })
      .optional()
      .describe('"*" or absent: all. A list: these. An empty list: none.'),
    labels: z
      .union([z.literal("*"), z.array(z.string().min(1).max(64)).max(MAX_LIST)], {
        error: `must be "*" or a list of up to ${MAX_LIST} labels of 1–64 characters`,
      })
      .optional()
      .describe("Of events that name an expression, those with one of these. Others are not concerned."),
    minConfidence: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe("Of events that name an expression, those as sure of it that do not abstain. 0–1."),
  })
  .describe(
    "An event passes when every list that is given names it. Events that have no call or no participant " +
      "pass no list of calls or participants.",
  );

/** An event passes when it passes all of them; a field that is absent or `"*"` passes everything. */
export interface EventFilter {
  readonly calls?: readonly string[] | "*" | undefined;
  readonly participants?: readonly string[] | "*" | undefined;
  readonly kinds?: readonly EventKind[] | "*" | undefined;
  /** Of events that name an expression (emotion, utterance, states), those with one of these. */
  readonly labels?: readonly string[] | "*" | undefined;
  /** Of the same events, those that are as sure of it, 0–1, and do not abstain. */
  readonly minConfidence?: number | undefined;
}

/**
 * Reads `?call=a,b&participant=c&kinds=emotion,speech.started`, where a name may also be repeated and an empty one
 * means all; or `?filter={"calls":["a"]}`, for ids that contain commas.
 * @throws TonetapError invalid-argument for anything else.
 */
export function filterFromQuery(query: URLSearchParams): EventFilter {
  for (const name of query.keys()) {
    if (!QUERY_NAMES.includes(name)) {
      throw new TonetapError(
        "invalid-argument",
        `unknown query parameter ${quoted(name)}: there are ${QUERY_NAMES.join(", ")}`,
      );
    }
  }
  const json = query.get("filter");
  if (json !== null) return parseFilter(parseJson(json));
  const list = (name: string): string[] | undefined => {
    const items = query
      .getAll(name)
      .flatMap((value) => value.split(","))
      .map((item) => item.trim())
      .filter((item) => item !== "");
    return items.length === 0 || items.includes("*") ? undefined : items;
  };
  const minConfidence = query.get("minConfidence") ?? "";
  return parseFilter({
    calls: list("call"),
    participants: list("participant"),
    kinds: list("kinds"),
    labels: list("label"),
    ...(minConfidence === "" ? {} : { minConfidence: Number(minConfidence) }),
  });
}

/** @throws TonetapError invalid-argument, saying what is wrong with it. */
export function parseFilter(value: unknown): EventFilter {
  const result = eventFilterSchema.safeParse(value);
  if (!result.success) {
    throw new TonetapError("invalid-argument", `filter: ${explain(result.error)}`);
  }
  return result.data;
}

/** The filter as a test to run on every event. */
export function compileFilter(filter: EventFilter): (event: TonetapEvent) => boolean {
  const types = setOf(filter.kinds === "*" ? "*" : filter.kinds?.map((kind) => `tonetap.${kind}`));
  const calls = setOf(filter.calls);
  const participants = setOf(filter.participants);
  const labels = setOf(filter.labels);
  const minConfidence = filter.minConfidence ?? 0;
  const passes = ({ type, data }: TonetapEvent): boolean =>
    (types === undefined || types.has(type)) &&
    (calls === undefined || ("callId" in data && calls.has(data.callId))) &&
    (participants === undefined || ("participantId" in data && participants.has(data.participantId)));
  if (labels === undefined && minConfidence === 0) return passes;
  return (event) => passes(event) && isExpressed(event, labels, minConfidence);
}

/** Whether what an event says is expressed is asked for. Events that say nothing of the kind pass. */
function isExpressed(
  event: TonetapEvent,
  labels: ReadonlySet<string> | undefined,
  minConfidence: number,
): boolean {
  const said = expressionOf(event);
  if (said === undefined) return true;
  if (said === "nothing") return false;
  return (
    (labels === undefined || labels.has(said.top)) &&
    (minConfidence === 0 || (!said.abstained && said.confidence >= minConfidence))
  );
}

interface Expression {
  readonly top: string;
  readonly confidence: number;
  readonly abstained: boolean;
}

function expressionOf(event: TonetapEvent): Expression | "nothing" | undefined {
  switch (event.type) {
    case "tonetap.emotion":
      return event.data;
    case "tonetap.utterance":
      return event.data.expression ?? "nothing";
    case "tonetap.participant.state":
    case "tonetap.call.state":
      return { ...event.data, abstained: false };
    default:
      return undefined;
  }
}

/** What zod found wrong, in one line that is short whatever came in. */
export function explain(error: z.ZodError): string {
  const text = error.issues
    .slice(0, 3)
    .map((issue) => (issue.path.length === 0 ? issue.message : `${issue.path.join(".")}: ${issue.message}`))
    .join("; ");
  return text.length > 440 ? `${text.slice(0, 440)}…` : text;
}

function setOf(list: readonly string[] | "*" | undefined): ReadonlySet<string> | undefined {
  return list === undefined || list === "*" ? undefined : new Set(list);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new TonetapError("invalid-argument", "filter is not JSON", { cause: error });
  }
}

const quoted = (text: string): string => JSON.stringify(text.slice(0, 64));
