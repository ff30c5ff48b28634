/** The Open Inference Protocol over HTTP/1.1 with Triton's binary tensor extension, on one connection that is kept. */
import { Agent, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps, Agent as TlsAgent } from "node:https";
import { z } from "zod";
import type { Clock } from "../../core/clock.ts";
import { type ErrorCode, TonetapError } from "../../core/errors.ts";
import {
  type CallLimits,
  type FloatTensor,
  floatsOf,
  type KserveClient,
  type KserveTarget,
  type ModelMetadata,
  timeoutParameter,
} from "./client.ts";

/** Bytes of an answer at most: logits of 512 windows and 64 labels are 131,072. */
const MAX_ANSWER_BYTES = 4 << 20;
const JSON_LENGTH = "inference-header-content-length";

const tensorMetadata = z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.number()) });
const modelMetadata = z.object({ inputs: z.array(tensorMetadata), outputs: z.array(tensorMetadata) });
const serverMetadata = z.object({ name: z.string(), version: z.string().default("") });
const inferAnswer = z.object({
  outputs: z.array(
    z.object({
      name: z.string(),
      datatype: z.string(),
      data: z.array(z.number()).optional(),
      parameters: z.object({ binary_data_size: z.number().optional() }).optional(),
    }),
  ),
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

export class KserveHttpClient implements KserveClient {
  readonly #target: KserveTarget;
  readonly #clock: Clock;
  readonly #agent: Agent;
  readonly #path: string;

  constructor(target: KserveTarget, clock: Clock) {
    this.#target = target;
    this.#clock = clock;
    const kept = { keepAlive: true, maxSockets: 1 };
    const trusted = target.ca === undefined ? {} : { ca: target.ca };
    this.#agent = target.url.protocol === "https:" ? new TlsAgent({ ...kept, ...trusted }) : new Agent(kept);
    const version = target.version === "" ? "" : `/versions/${encodeURIComponent(target.version)}`;
    const root = target.url.pathname.replace(/\/$/, "");
    this.#path = `${root}/v2/models/${encodeURIComponent(target.model)}${version}`;
  }

  async server(limits: CallLimits): Promise<string> {
    const answer = await this.#call(
      "GET",
      `${this.#target.url.pathname.replace(/\/$/, "")}/v2`,
      [],
      {},
      limits,
    );
    const { name, version } = parsed(serverMetadata, accepted(answer).body);
    return `${name} ${version}`.trim();
  }

  async metadata(limits: CallLimits): Promise<ModelMetadata> {
    return parsed(modelMetadata, accepted(await this.#call("GET", this.#path, [], {}, limits)).body);
  }

  async ready(limits: CallLimits): Promise<boolean> {
    try {
      return (await this.#call("GET", `${this.#path}/ready`, [], {}, limits)).status === 200;
    } catch (error) {
      if (limits.signal?.aborted === true) throw error;
      return false;
    }
  }

  async infer(inputs: readonly FloatTensor[], output: string, limits: CallLimits): Promise<Float32Array> {
    const header = Buffer.from(
      JSON.stringify({
        parameters: { timeout: timeoutParameter(limits.timeoutMs) },
        inputs: inputs.map(({ name, shape, data }) => ({
          name,
          shape,
          datatype: "FP32",
          parameters: { binary_data_size: data.length },
        })),
        outputs: [{ name: output, parameters: { binary_data: true } }],
      }),
    );
    const headers = { "content-type": "application/octet-stream", [JSON_LENGTH]: String(header.length) };
    const parts = [header, ...inputs.map(({ data }) => data)];
    return tensorOf(
      accepted(await this.#call("POST", `${this.#path}/infer`, parts, headers, limits)),
      output,
    );
  }

  async close(): Promise<void> {
    this.#agent.destroy();
  }

  #call(
    method: string,
    path: string,
    parts: readonly Uint8Array[],
    headers: Readonly<Record<string, string>>,
    { timeoutMs, signal }: CallLimits,
  ): Promise<Answer> {
    const { url, headers: own } = this.#target;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const request = (url.protocol === "https:" ? requestHttps : requestHttp)(
      {
        agent: this.#agent,
        method,
        protocol: url.protocol,
        // Brackets are the URL's, not the address's.
        host: url.hostname.replace(/^\[|\]$/g, ""),
        port: url.port,
        path,
        headers: {
          ...own,
          ...headers,
          "content-length": String(parts.reduce((sum, part) => sum + part.length, 0)),
        },
        ...(signal === undefined ? {} : { signal }),
      },
      (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size > MAX_ANSWER_BYTES) {
            request.destroy(new TonetapError("protocol", `an answer of more than ${MAX_ANSWER_BYTES} bytes`));
          } else chunks.push(chunk);
        });
        response.on("error", (error) => reject(failureOf(error, signal)));
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks),
          }),
        );
      },
    );
    const cancel = this.#clock.schedule(timeoutMs, () =>
      request.destroy(new TonetapError("timeout", `no answer within ${Math.round(timeoutMs)} ms`)),
    );
    request.on("error", (error) => reject(failureOf(error, signal)));
    for (const part of parts) request.write(part);
    request.end();
    return promise.finally(cancel);
  }
}

/** What a status says: of a server that is there. */
const STATUS_CODES: Readonly<Record<number, ErrorCode>> = {
  400: "invalid-argument",
  404: "not-found",
  408: "timeout",
  413: "invalid-argument",
  429: "overloaded",
  499: "timeout",
  502: "unavailable",
  503: "unavailable",
  504: "timeout",
};

/** @throws TonetapError for every status but 200, with what the server says of it */
function accepted(answer: Answer): Answer {
  if (answer.status === 200) return answer;
  const reason = answer.body.subarray(0, 300).toString().trim();
  throw new TonetapError(
    STATUS_CODES[answer.status] ?? "internal",
    `the server answered ${answer.status}${reason === "" ? "" : `: ${reason}`}`,
  );
}

function failureOf(error: Error, signal: AbortSignal | undefined): TonetapError {
  if (signal?.aborted === true) return TonetapError.from(signal.reason, "closed", "aborted");
  // Refused, reset, name not found, a kept connection that the server has closed: all may be over in a moment.
  return TonetapError.from(error, "unavailable", "the server cannot be reached");
}

/** @throws TonetapError protocol */
function parsed<T>(schema: z.ZodType<T>, body: Buffer): T {
  let value: unknown;
  try {
    value = JSON.parse(body.toString());
  } catch (error) {
    throw new TonetapError("protocol", "the server's answer is not JSON", { cause: error });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new TonetapError("protocol", `the server's answer: ${issue?.path.join(".")}: ${issue?.message}`);
}

function tensorOf({ headers, body }: Answer, name: string): Float32Array {
  const length = headers[JSON_LENGTH];
  const jsonBytes = typeof length === "string" ? Number(length) : body.length;
  const { outputs } = parsed(inferAnswer, body.subarray(0, jsonBytes));
  let at = jsonBytes;
  for (const { name: found, datatype, data, parameters } of outputs) {
    const size = parameters?.binary_data_size ?? 0;
    if (found === name) {
      if (datatype !== "FP32") throw new TonetapError("protocol", `${name} must be FP32, got ${datatype}`);
      // A server without the extension answers in JSON.
      return data === undefined ? floatsOf(body.subarray(at, at + size)) : Float32Array.from(data);
    }
    at += size;
  }
  throw new TonetapError("protocol", `the server's answer has no output ${name}`);
}
