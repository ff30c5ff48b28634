/**
 * The Open Inference Protocol over gRPC. `@grpc/grpc-js` is the user's; this is the only file that knows it. Messages are
 * written by field number, after grpc_predict_v2.proto: no code generator, no .proto to read at the start.
 */
import type { Client, ServiceError } from "@grpc/grpc-js";
import type { Clock } from "../../core/clock.ts";
import { type ErrorCode, TonetapError } from "../../core/errors.ts";
import { blob, type Field, floats, integer, integers, message, ProtoWriter, text } from "../protobuf.ts";
import {
  type CallLimits,
  type FloatTensor,
  floatsOf,
  type KserveClient,
  type KserveTarget,
  type ModelMetadata,
  type TensorMetadata,
  timeoutParameter,
} from "./client.ts";

type Grpc = typeof import("@grpc/grpc-js");
type Method = "ServerMetadata" | "ModelMetadata" | "ModelReady" | "ModelInfer";

/** @throws TonetapError unavailable when the package is not installed */
export async function openGrpcClient(target: KserveTarget, clock: Clock): Promise<KserveClient> {
  let grpc: Grpc;
  try {
    grpc = await import("@grpc/grpc-js");
  } catch (error) {
    throw new TonetapError(
      "unavailable",
      "grpc:// needs the package @grpc/grpc-js: npm install @grpc/grpc-js",
      {
        retryable: false,
        cause: error,
      },
    );
  }
  return new KserveGrpcClient(grpc, target, clock);
}

class KserveGrpcClient implements KserveClient {
  readonly #grpc: Grpc;
  readonly #target: KserveTarget;
  readonly #clock: Clock;
  readonly #client: Client;

  constructor(grpc: Grpc, target: KserveTarget, clock: Clock) {
    this.#grpc = grpc;
    this.#target = target;
    this.#clock = clock;
    const { protocol, host, port } = target.url;
    const secure = protocol === "grpcs:";
    const trusted = target.ca === undefined ? null : Buffer.from(target.ca);
    const credentials = secure ? grpc.credentials.createSsl(trusted) : grpc.credentials.createInsecure();
    this.#client = new grpc.Client(port === "" ? `${host}:${secure ? 443 : 8_001}` : host, credentials);
  }

  async server(limits: CallLimits): Promise<string> {
    const fields = message(await this.#call("ServerMetadata", new ProtoWriter(), limits));
    return `${text(fields, 1)} ${text(fields, 2)}`.trim();
  }

  async metadata(limits: CallLimits): Promise<ModelMetadata> {
    const fields = message(await this.#call("ModelMetadata", this.#named(1, 2), limits));
    const tensors = (number: number): TensorMetadata[] =>
      (fields.get(number) ?? []).map((entry) => {
        const tensor = message(blob(entry));
        return { name: text(tensor, 1), datatype: text(tensor, 2), shape: integers(tensor, 3) };
      });
    return { inputs: tensors(4), outputs: tensors(5) };
  }

  async ready(limits: CallLimits): Promise<boolean> {
    try {
      return integer(message(await this.#call("ModelReady", this.#named(1, 2), limits)), 1) === 1;
    } catch (error) {
      if (limits.signal?.aborted === true) throw error;
      return false;
    }
  }

  async infer(inputs: readonly FloatTensor[], output: string, limits: CallLimits): Promise<Float32Array> {
    const timeout = new ProtoWriter().integer(2, timeoutParameter(limits.timeoutMs));
    const request = this.#named(1, 2).message(4, new ProtoWriter().text(1, "timeout").message(2, timeout));
    for (const { name, shape } of inputs) {
      request.message(5, new ProtoWriter().text(1, name).text(2, "FP32").integers(3, shape));
    }
    request.message(6, new ProtoWriter().text(1, output));
    for (const { data } of inputs) request.bytes(7, data);
    return tensorOf(await this.#call("ModelInfer", request, limits), output);
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  /** Model and version, in the fields where a request has them. */
  #named(nameField: number, versionField: number): ProtoWriter {
    const { model, version } = this.#target;
    return new ProtoWriter().text(nameField, model).text(versionField, version);
  }

  #call(method: Method, request: ProtoWriter, { timeoutMs, signal }: CallLimits): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const metadata = new this.#grpc.Metadata();
    for (const [name, value] of Object.entries(this.#target.headers)) metadata.set(name, value);
    const call = this.#client.makeUnaryRequest(
      `/inference.GRPCInferenceService/${method}`,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      request.finish(),
      metadata,
      // Travels to the server, which stops working on what nobody waits for.
      { deadline: this.#clock.wall() + timeoutMs },
      (error, answer) => {
        signal?.removeEventListener("abort", cancel);
        if (error === null && answer !== undefined) resolve(answer);
        else reject(this.#failureOf(error, signal, timeoutMs));
      },
    );
    const cancel = (): void => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted === true) cancel();
    return promise;
  }

  #failureOf(error: ServiceError | null, signal: AbortSignal | undefined, timeoutMs: number): TonetapError {
    if (signal?.aborted === true) return TonetapError.from(signal.reason, "closed", "aborted");
    const { status } = this.#grpc;
    const codes: Readonly<Partial<Record<number, ErrorCode>>> = {
      [status.DEADLINE_EXCEEDED]: "timeout",
      [status.UNAVAILABLE]: "unavailable",
      [status.RESOURCE_EXHAUSTED]: "overloaded",
      [status.INVALID_ARGUMENT]: "invalid-argument",
      [status.NOT_FOUND]: "not-found",
      [status.UNIMPLEMENTED]: "protocol",
    };
    const code = codes[error?.code ?? -1] ?? "internal";
    if (code === "timeout")
      return new TonetapError("timeout", `no answer within ${Math.round(timeoutMs)} ms`);
    const reason = error?.details ?? "no answer";
    return new TonetapError(
      code,
      code === "unavailable" ? `the server cannot be reached: ${reason}` : `the server answered: ${reason}`,
      { cause: error },
    );
  }
}

function tensorOf(answer: Buffer, name: string): Float32Array {
  const fields = message(answer);
  const outputs = (fields.get(5) ?? []).map((entry: Field) => message(blob(entry)));
  const index = outputs.findIndex((output) => text(output, 1) === name);
  const output = outputs[index];
  if (output === undefined) throw new TonetapError("protocol", `the server's answer has no output ${name}`);
  const datatype = text(output, 2);
  if (datatype !== "FP32") throw new TonetapError("protocol", `${name} must be FP32, got ${datatype}`);
  const raw = fields.get(6)?.[index];
  if (raw !== undefined) return floatsOf(blob(raw));
  // InferTensorContents.fp32_contents
  const [contents] = output.get(5) ?? [];
  return Float32Array.from(contents === undefined ? [] : floats(message(blob(contents)), 6));
}
