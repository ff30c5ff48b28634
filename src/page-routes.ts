/** The page over HTTP, and WHIP: what browsers load and call. Negotiating is transport/werift. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire, stripTypeScriptTypes } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { TonetapError } from "./core/errors.ts";
import {
  type AnyOperation,
  type HttpRequest,
  type HttpResponse,
  type HttpServer,
  type Operation,
  operation,
  staticFiles,
} from "./events/index.ts";
import { WHIP_MAX_BODY_BYTES } from "./transport/werift/whip-message.ts";
import type { WhipEndpoint } from "./transport/werift/whip-server.ts";

const HERE = dirname(fileURLToPath(import.meta.url));

const SESSION = {
  tag: "media",
  path: "/whip/:session",
  params: { session: "As `Location` said. Who knows it can end the session." },
  access: "public",
  asks: "calls:write",
  maxBodyBytes: WHIP_MAX_BODY_BYTES,
} as const;

const CONSENT = {
  ...SESSION,
  path: "/whip/:session/consent",
  params: { session: "As the answer's link said." },
} as const;

const ENDPOINT = {
  tag: "media",
  path: "/whip",
  access: "public",
  // It asks for tokens itself: the session's URL counts too.
  asks: "calls:write",
  maxBodyBytes: WHIP_MAX_BODY_BYTES,
} as const;

const optionsOf = (
  place: typeof SESSION | typeof CONSENT | typeof ENDPOINT,
  id: string,
  accepts?: string,
): Operation => {
  // Nobody is asked what may be asked.
  const { asks: _, ...rest } = place;
  return {
    ...rest,
    id,
    method: "OPTIONS",
    summary: "What is taken there",
    answers: {
      200: {
        meaning: "As the headers say.",
        headers: { allow: "Methods.", ...(accepts === undefined ? {} : { [accepts]: "Content types." }) },
      },
    },
  };
};

const publish = operation({
  ...ENDPOINT,
  id: "publishWhip",
  method: "POST",
  summary: "Attach a participant by WebRTC (WHIP, RFC 9725)",
  description: "docs/webrtc.md says what is negotiated.",
  query: z.object({
    call: z.string().optional().describe("The call."),
    participant: z.string().optional().describe("The participant; absent: a name is made."),
    role: z.string().optional().describe("What it is to the call. Default `guest`."),
    consent: z.string().optional().describe("Default `pending`."),
    name: z.string().optional().describe("Shown to people."),
  }),
  checksItself: true,
  text: { contentType: "application/sdp", meaning: "The offer." },
  answers: {
    201: {
      meaning: "The answer.",
      contentType: "application/sdp",
      schema: z.string(),
      headers: {
        location: "The session.",
        etag: "Of the ICE session, for restarts.",
        link: "STUN and TURN servers, and where consent is said.",
      },
    },
  },
  problems: ["conflict", "overloaded", "media", "closed"],
});

const trickle = operation({
  ...SESSION,
  id: "trickleWhip",
  method: "PATCH",
  summary: "Add ICE candidates, or restart ICE",
  text: { contentType: "application/trickle-ice-sdpfrag", meaning: "Candidates (RFC 8840)." },
  answers: {
    200: {
      meaning: "ICE was restarted.",
      contentType: "application/trickle-ice-sdpfrag",
      schema: z.string(),
    },
    204: { meaning: "The candidates are taken." },
  },
  problems: ["not-found", 412, 428],
});

const unpublish = operation({
  ...SESSION,
  id: "endWhip",
  method: "DELETE",
  summary: "End a session",
  answers: { 200: { meaning: "Its participant has left." } },
  problems: ["not-found"],
});

const consent = operation({
  ...CONSENT,
  id: "setWhipConsent",
  method: "PUT",
  summary: "The publisher gives consent, or takes it back",
  description: "An extension of ours; the answer to the offer links to it (docs/webrtc.md).",
  text: {
    contentType: "application/json",
    meaning: '`{"consent": "granted"}` or `{"consent": "withdrawn"}`.',
  },
  answers: { 204: { meaning: "It is done." } },
  problems: ["not-found"],
});

const askEndpoint = optionsOf(ENDPOINT, "askWhip", "accept-post");
const askSession = optionsOf(SESSION, "askWhipSession", "accept-patch");
const askConsent = optionsOf(CONSENT, "askWhipConsent");

export const whipOperations: readonly AnyOperation[] = [
  publish,
  trickle,
  unpublish,
  consent,
  askEndpoint,
  askSession,
  askConsent,
];

const files = (id: string, prefix: string, summary: string): Operation =>
  operation({
    id,
    tag: "page",
    method: "GET",
    path: `${prefix}*`,
    access: "public",
    summary,
    answers: {
      200: { meaning: "The file.", contentType: "*/*", schema: z.unknown() },
      304: { meaning: "It is what you have." },
    },
    problems: ["not-found"],
  });

const pageFiles = files("getPageFile", "/", "The page");
const clientFiles = files("getClientFile", "/client/", "`tonetap/client`, for browsers");
const vendorFiles = files("getVendorFile", "/vendor/", "What the page uses of others");

export const pageOperations: readonly AnyOperation[] = [pageFiles, clientFiles, vendorFiles];

export function addWhipRoutes(http: HttpServer, endpoint: WhipEndpoint): void {
  for (const served of whipOperations) {
    http.serve(served, ({ method, path, headers, query, body }) =>
      endpoint.handle({ method, path, headers, query, body }),
    );
  }
}

/** The page, the chart library it uses, and our own client, which runs in browsers as it is. */
export function addPage(http: HttpServer): void {
  const require = createRequire(import.meta.url);
  http.serve(vendorFiles, staticFiles(dirname(require.resolve("uplot/dist/uPlot.esm.js"))));
  const client = join(HERE, "client");
  http.serve(
    clientFiles,
    existsSync(join(client, "index.js"))
      ? staticFiles(client)
      : (request) => clientFromSource(client, request),
  );
  http.serve(pageFiles, staticFiles(join(HERE, "dashboard")));
}

/** Run from source, the client is TypeScript with erasable types: browsers get it without them. */
async function clientFromSource(
  folder: string,
  { params, headers: sent }: HttpRequest,
): Promise<HttpResponse> {
  const name = (params["*"] ?? "").replace(/\.js$/, ".ts");
  if (!/^[\w-]+\.ts$/.test(name) || !existsSync(join(folder, name))) {
    throw new TonetapError("not-found", "there is no such file");
  }
  const body = stripTypeScriptTypes(await readFile(join(folder, name), "utf8"));
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 16)}"`;
  const headers = { "content-type": "text/javascript; charset=utf-8", "cache-control": "no-cache", etag };
  return sent["if-none-match"] === etag ? { status: 304, headers } : { headers, body };
}
