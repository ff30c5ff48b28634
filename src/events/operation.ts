/**
 * An operation of the REST API: where it is, what it takes, what it answers. One object says it to who serves it
 * (http-server.ts) and to who describes it (the OpenAPI document), so that neither can say anything else.
 */
import { z } from "zod";
import type { Right } from "../core/caller.ts";
import { type ErrorCode, TonetapError } from "../core/errors.ts";
import { type HttpMethod, type HttpRequest, type HttpResponse, jsonBody } from "./http-route.ts";

/** What one status means. */
export interface Answer {
  readonly meaning: string;
  /** Of its body; none: it has no body. */
  readonly schema?: z.ZodType;
  /** Default `application/json`. */
  readonly contentType?: string;
  /** Lower-case names of headers that matter, and what they say. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Operation<Body = undefined, Query = undefined> {
  /** Unique; what generated clients call it. */
  readonly id: string;
  /** Operations of one tag stand together in the documentation. */
  readonly tag: string;
  readonly method: HttpMethod;
  /** As in HttpServer.route(): `/v1/calls/:callId`. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  /** What the caller must be allowed; `public`: nobody is asked here. */
  readonly access: Right | "public";
  /** Where `access` is `public` because the handler itself asks: what it asks for. */
  readonly asks?: Right;
  /** What the names in the path stand for. */
  readonly params?: Readonly<Record<string, string>>;
  /** Of texts, as they stand in the address. */
  readonly query?: z.ZodType<Query>;
  readonly body?: z.ZodType<Body>;
  /** A body that is no JSON. The handler reads it. */
  readonly text?: { readonly contentType: string; readonly meaning: string };
  /** The handler checks what comes itself: `query` and `body` only tell of it. */
  readonly checksItself?: boolean;
  /** Bytes of a body. Default 65,536. */
  readonly maxBodyBytes?: number;
  readonly answers: Readonly<Record<number, Answer>>;
  /** What it may refuse with, besides what every operation may: codes, or statuses that say it more exactly. */
  readonly problems?: readonly (ErrorCode | number)[];
}

/** For lists of operations, whatever they take. */
export type AnyOperation = Operation<unknown, unknown>;

/** What came, checked: the operation's `body` and `query`. */
export interface OperationRequest<Body, Query> extends HttpRequest {
  readonly json: Body;
  readonly search: Query;
}

export type OperationHandler<Body, Query> = (
  request: OperationRequest<Body, Query>,
) => HttpResponse | Promise<HttpResponse>;

/** Only so that the types of `body` and `query` are read off the object. */
export const operation = <Body = undefined, Query = undefined>(
  described: Operation<Body, Query>,
): Operation<Body, Query> => described;

/** @throws TonetapError invalid-argument, naming every field that is wrong */
export function inputOf<Body, Query>(
  { body, query, checksItself = false }: Operation<Body, Query>,
  request: HttpRequest,
): OperationRequest<Body, Query> {
  const read = <T>(schema: z.ZodType<T> | undefined, value: () => unknown): T =>
    // Without a schema T is undefined, by the default of its parameter.
    schema === undefined || checksItself ? (undefined as T) : checked(schema, value());
  return {
    ...request,
    search: read(query, () => fieldsOf(request.query)),
    json: read(body, () => jsonBody(request)),
  };
}

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const reasons = result.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join(".")}: ${message}`,
  );
  throw new TonetapError("invalid-argument", reasons.join("; "));
}

function fieldsOf(query: URLSearchParams): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const [name, value] of query) {
    if (Object.hasOwn(fields, name)) {
      throw new TonetapError("invalid-argument", `${name.slice(0, 40)}: stands in the query twice`);
    }
    fields[name] = value;
  }
  return fields;
}

/** The body of every refusal: RFC 9457. */
export const problemSchema = z
  .object({
    type: z.string().describe("Stable, `urn:tonetap:error:<code>`."),
    title: z.string().describe("The same for every problem of the type."),
    status: z.int().min(400).max(599).describe("The HTTP status."),
    detail: z.string().optional().describe("What it is this time, for people."),
    code: z.string().describe("The end of `type`: act on this one."),
  })
  .describe("Why a request was refused.")
  .meta({ id: "Problem" });
