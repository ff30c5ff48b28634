/**
 * A small inference server in a process of its own, which speaks the Open Inference Protocol over HTTP and gRPC: ONNX
 * Runtime behind node:http and grpc-js with the protocol's .proto, nothing of Tonetap's client. It can be told to fail.
 *
 * As a script: node kserve-server.ts MODEL.onnx NAME [HTTP-PORT GRPC-PORT]; it prints its two ports as JSON.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { loadPackageDefinition, type Metadata, Server, ServerCredentials, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { InferenceSession, Tensor } from "onnxruntime-node";

/** What the next requests to infer meet, in order; then it is well again. */
export interface Fault {
  /** HTTP status, or the name of a gRPC one. */
  readonly status?: number | "UNAVAILABLE" | "RESOURCE_EXHAUSTED" | "INVALID_ARGUMENT" | "INTERNAL";
  /** ms before the answer. */
  readonly delayMs?: number;
  /** Ends the connection without an answer. HTTP only. */
  readonly hangUp?: boolean;
  /** Numbers in JSON, or fp32_contents, in place of raw bytes. */
  readonly typed?: boolean;
  /** As many requests. Default 1. */
  readonly times?: number;
}

/** What the server saw. */
export interface Seen {
  /** TCP connections over HTTP since its start. */
  readonly connections: number;
  /** The parameter `timeout` of each request to infer, µs. */
  readonly timeouts: readonly number[];
  /** What `authorization` said in each request to infer; empty if nothing. */
  readonly authorizations: readonly string[];
}

export interface KserveServer {
  readonly http: string;
  readonly grpc: string;
  readonly ports: readonly [number, number];
  fail(...faults: readonly Fault[]): Promise<void>;
  seen(): Promise<Seen>;
  /** Ends the process at once. */
  stop(): Promise<void>;
}

/** Starts one. @param ports of one that was there before */
export async function startKserveServer(
  onnxPath: string,
  name: string,
  ports: readonly [number, number] = [0, 0],
): Promise<KserveServer> {
  const child: ChildProcess = spawn(
    process.execPath,
    [
      "--disable-warning=ExperimentalWarning",
      fileURLToPath(import.meta.url),
      onnxPath,
      name,
      ...ports.map(String),
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const lines = createInterface({ input: child.stdout ?? process.stdin });
  const [line] = (await once(lines, "line")) as [string];
  const own = JSON.parse(line) as [number, number];
  const http = `http://127.0.0.1:${own[0]}`;
  return {
    http,
    grpc: `grpc://127.0.0.1:${own[1]}`,
    ports: own,
    fail: async (...faults) => {
      await fetch(`${http}/test/faults`, { method: "POST", body: JSON.stringify(faults) });
    },
    seen: async () => (await (await fetch(`${http}/test/seen`)).json()) as Seen,
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

async function serve(onnxPath: string, name: string, httpPort: number, grpcPort: number): Promise<void> {
  const session = await InferenceSession.create(onnxPath, { intraOpNumThreads: 1 });
  const faults: Fault[] = [];
  const timeouts: number[] = [];
  const authorizations: string[] = [];
  let connections = 0;
  const tensors = (list: readonly InferenceSession.ValueMetadata[]) =>
    list.map((tensor) => ({
      name: tensor.name,
      datatype: "FP32",
      shape: tensor.isTensor ? tensor.shape.map((size) => (typeof size === "string" ? -1 : size)) : [],
    }));
  const metadata = {
    name,
    versions: ["1"],
    platform: "onnxruntime_onnx",
    inputs: tensors(session.inputMetadata),
    outputs: tensors(session.outputMetadata),
  };
  const infer = async (inputs: readonly { name: string; shape: readonly number[]; data: Uint8Array }[]) => {
    const feeds = inputs.map(({ name: input, shape, data }) => {
      const floats = new Float32Array(new Uint8Array(data).buffer);
      return [input, new Tensor("float32", floats, [...shape])] as const;
    });
    const result = await session.run(Object.fromEntries(feeds));
    return Object.entries(result).map(([output, { data, dims }]) => ({
      name: output,
      shape: [...dims],
      data: new Uint8Array((data as Float32Array).slice().buffer),
    }));
  };
  const nextFault = async (timeout: number): Promise<Fault> => {
    timeouts.push(timeout);
    const { times = 1, ...fault } = faults[0] ?? {};
    if (times > 1) faults[0] = { ...fault, times: times - 1 };
    else faults.shift();
    if (fault.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
    return fault;
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = Buffer.concat(await request.toArray());
    const json = (value: unknown, code = 200): void => {
      response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(value));
    };
    switch (`${request.method} ${request.url}`) {
      case "POST /test/faults":
        faults.push(...(JSON.parse(body.toString()) as Fault[]));
        return json({});
      case "GET /test/seen":
        return json({ connections, timeouts, authorizations });
      case "GET /v2":
        return json({
          name: "test-server",
          version: "1.0",
          extensions: ["binary_tensor_data", "schedule_policy"],
        });
      case `GET /v2/models/${name}`:
        return json(metadata);
      case `GET /v2/models/${name}/ready`:
        return json({});
      case `POST /v2/models/${name}/infer`: {
        authorizations.push(request.headers.authorization ?? "");
        const jsonBytes = Number(request.headers["inference-header-content-length"] ?? body.length);
        const asked = JSON.parse(body.subarray(0, jsonBytes).toString());
        const fault = await nextFault(asked.parameters.timeout);
        if (fault.hangUp === true) {
          request.socket.destroy();
          return;
        }
        if (typeof fault.status === "number") return json({ error: "told to fail" }, fault.status);
        let at = jsonBytes;
        const inputs = asked.inputs.map(
          (input: { name: string; shape: number[]; parameters: { binary_data_size: number } }) => {
            const data = body.subarray(at, at + input.parameters.binary_data_size);
            at += data.length;
            return { ...input, data };
          },
        );
        const outputs = await infer(inputs);
        const described = outputs.map(({ name: output, shape, data }) => ({
          name: output,
          shape,
          datatype: "FP32",
          ...(fault.typed === true
            ? { data: [...new Float32Array(data.buffer)] }
            : { parameters: { binary_data_size: data.length } }),
        }));
        if (fault.typed === true) return json({ model_name: name, outputs: described });
        const header = Buffer.from(
          JSON.stringify({ model_name: name, model_version: "1", outputs: described }),
        );
        response.writeHead(200, { "inference-header-content-length": String(header.length) });
        response.end(Buffer.concat([header, ...outputs.map(({ data }) => data)]));
        return;
      }
      default:
        return json({ error: `unknown model or path ${request.url}` }, 404);
    }
  };
  const http = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  http.on("connection", () => connections++);
  http.listen(httpPort, "127.0.0.1");
  await once(http, "listening");

  const proto = fileURLToPath(new URL("open-inference.proto", import.meta.url));
  const definition = loadPackageDefinition(loadSync(proto, { keepCase: true, longs: Number })) as never as {
    inference: { GRPCInferenceService: { service: Parameters<Server["addService"]>[0] } };
  };
  type Call = { request: Record<string, never> };
  type Reply = (error: { code: number; details: string } | null, value?: unknown) => void;
  const known = (call: Call, reply: Reply, value: unknown): void => {
    if (call.request.name === name) reply(null, value);
    else reply({ code: status.NOT_FOUND, details: `unknown model ${call.request.name}` });
  };
  // As Triton takes: gRPC by itself takes 4 MiB.
  const grpc = new Server({ "grpc.max_receive_message_length": -1 });
  grpc.addService(definition.inference.GRPCInferenceService.service, {
    ServerMetadata: (_call: Call, reply: Reply) => reply(null, { name: "test-server", version: "1.0" }),
    ModelMetadata: (call: Call, reply: Reply) => known(call, reply, metadata),
    ModelReady: (call: Call, reply: Reply) => known(call, reply, { ready: true }),
    ModelInfer: (call: { request: GrpcInferRequest; metadata: Metadata }, reply: Reply) => {
      authorizations.push(String(call.metadata.get("authorization")[0] ?? ""));
      void (async () => {
        const { inputs, raw_input_contents, parameters } = call.request;
        const fault = await nextFault(Number(parameters.timeout?.int64_param));
        if (typeof fault.status === "string") {
          return reply({ code: status[fault.status], details: "told to fail" });
        }
        const outputs = await infer(
          inputs.map((input, i) => ({ ...input, data: raw_input_contents[i] ?? new Uint8Array() })),
        );
        reply(null, {
          model_name: name,
          outputs: outputs.map(({ name: output, shape, data }) => ({
            name: output,
            datatype: "FP32",
            shape,
            ...(fault.typed === true
              ? { contents: { fp32_contents: [...new Float32Array(data.buffer)] } }
              : {}),
          })),
          raw_output_contents: fault.typed === true ? [] : outputs.map(({ data }) => data),
        });
      })();
    },
  });
  const boundPort = await new Promise<number>((resolve, reject) => {
    grpc.bindAsync(`127.0.0.1:${grpcPort}`, ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
  console.log(JSON.stringify([(http.address() as AddressInfo).port, boundPort]));
}

interface GrpcInferRequest {
  readonly inputs: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly raw_input_contents: readonly Uint8Array[];
  readonly parameters: Readonly<Record<string, { readonly int64_param?: number }>>;
}

if (import.meta.main) {
  const [onnxPath = "", name = "", httpPort = "0", grpcPort = "0"] = process.argv.slice(2);
  await serve(onnxPath, name, Number(httpPort), Number(grpcPort));
}
