/** Chooses the ONNX Runtime provider for this machine. Opening sessions on it is onnx-worker.ts. */
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { TonetapError } from "../core/errors.ts";
import type { DeviceOption, RefusedProvider } from "./backend.ts";

export type ProviderName = Exclude<DeviceOption, "auto">;

/** What decides about a provider before it is started. */
export interface Machine {
  readonly platform: string;
  readonly arch: string;
  /** Providers that this build of onnxruntime-node knows. */
  readonly supported: readonly string[];
  /** Providers whose own library lies beside the binding. */
  readonly libraries: ReadonlySet<"cuda" | "tensorrt">;
  /** GPU device nodes, e.g. `/dev/dri/renderD128`. Empty where the platform has none to list (macOS, Windows). */
  readonly gpuNodes: readonly string[];
  /** `VK_DRIVER_FILES` or `VK_ICD_FILENAMES`: the Vulkan drivers that the loader is confined to. */
  readonly vulkanDrivers: string;
}

/**
 * The providers to try, in turn, for what was asked for. Only `auto` has a second choice; it thinks of TensorRT only
 * where someone has installed it.
 */
export function candidateProviders(device: DeviceOption, machine: Machine): readonly ProviderName[] {
  if (device !== "auto") return [device];
  const plain = ["cuda", "webgpu", "cpu"] as const;
  return machine.libraries.has("tensorrt") ? ["tensorrt", ...plain] : plain;
}

// SwiftShader and Mesa's lavapipe and llvmpipe compute on the processor, hundreds of times slower than ONNX Runtime does.
const SOFTWARE_DRIVER = /swiftshader|lvp|llvmpipe|lavapipe/i;

/**
 * Why a provider is not even started, or undefined when it should be.
 * WebGPU gives no way to see whether an adapter is software, so `auto` starts it only where there is a GPU; what
 * slips through is caught by chooseProvider(), which keeps a GPU only if it beats the processor.
 */
export function refuseProvider(
  provider: ProviderName,
  device: DeviceOption,
  machine: Machine,
): string | undefined {
  if (!machine.supported.includes(provider)) {
    return `onnxruntime-node has no ${provider} for ${machine.platform} ${machine.arch}`;
  }
  // Without its library the runtime would say so too, after printing two lines of its own to the terminal.
  if ((provider === "cuda" || provider === "tensorrt") && !machine.libraries.has(provider)) {
    return `libonnxruntime_providers_${provider} is not installed beside onnxruntime-node`;
  }
  if (provider !== "webgpu" || device !== "auto") return undefined;
  if (machine.platform === "linux" && machine.gpuNodes.length === 0) return "this machine has no GPU device";
  if (SOFTWARE_DRIVER.test(machine.vulkanDrivers)) {
    return `the Vulkan driver is a software one (${machine.vulkanDrivers})`;
  }
  return undefined;
}

/** How a session is opened, timed and given up: the runtime's part of chooseProvider(). */
export interface ProviderTrials<Session> {
  /** Opens the model and warms it up. A TonetapError says that the model itself is wrong, wherever it runs. */
  readonly open: (provider: ProviderName) => Promise<Session>;
  /** Time of one full batch, ms. */
  readonly fullBatchMs: (session: Session) => Promise<number>;
  readonly release: (session: Session) => Promise<void>;
}

export interface ChosenProvider<Session> {
  readonly provider: ProviderName;
  readonly session: Session;
  readonly tried: readonly RefusedProvider[];
}

/**
 * Tries the providers in turn. `auto` keeps a GPU only if a full batch is faster there than on one processor thread:
 * less is no gain, and a software GPU takes hundreds of times longer.
 * @throws TonetapError unavailable, with the reason of each refusal; whatever TonetapError `open` throws
 */
export async function chooseProvider<Session>(
  device: DeviceOption,
  machine: Machine,
  trials: ProviderTrials<Session>,
): Promise<ChosenProvider<Session>> {
  const tried: RefusedProvider[] = [];
  const refuse = (provider: string, reason: string): void => void tried.push({ provider, reason });
  let gpu: { readonly provider: ProviderName; readonly session: Session } | undefined;
  for (const provider of candidateProviders(device, machine)) {
    if (gpu !== undefined && provider !== "cpu") continue;
    const reason = refuseProvider(provider, device, machine);
    if (reason !== undefined) {
      refuse(provider, reason);
      continue;
    }
    let session: Session;
    try {
      session = await trials.open(provider);
    } catch (error) {
      if (error instanceof TonetapError) throw error;
      refuse(provider, reasonOf(error));
      continue;
    }
    if (device === "auto" && provider !== "cpu") {
      gpu = { provider, session };
      continue;
    }
    if (gpu === undefined) return { provider, session, tried };
    const [gpuMs, cpuMs] = [await trials.fullBatchMs(gpu.session), await trials.fullBatchMs(session)];
    if (gpuMs < cpuMs) {
      await trials.release(session);
      return { ...gpu, tried };
    }
    await trials.release(gpu.session);
    refuse(
      gpu.provider,
      `slower than the processor: ${gpuMs.toFixed(1)} ms a batch against ${cpuMs.toFixed(1)} ms`,
    );
    return { provider, session, tried };
  }
  if (gpu !== undefined) return { ...gpu, tried };
  throw new TonetapError(
    "unavailable",
    `the model cannot run on ${device}: ${tried.map(({ provider, reason }) => (device === "auto" ? `${provider}: ${reason}` : reason)).join("; ")}`,
    // The same machine will say the same again.
    { retryable: false },
  );
}

/** The runtime's reason without its own source position before it and its trace after it. */
function reasonOf(error: unknown): string {
  const { message } = TonetapError.from(error);
  const text = message.replace(/^.*?was false\.\s*/s, "").trim();
  return text.split("\n")[0] ?? text;
}

/** Looks at this machine. */
export function inspectMachine(supported: readonly string[]): Machine {
  const { platform, arch, env } = process;
  const binding = join(onnxRuntimeRoot(), "bin", "napi-v6", platform, arch);
  const providerLibrary = (name: string): string =>
    platform === "win32" ? `onnxruntime_providers_${name}.dll` : `libonnxruntime_providers_${name}.so`;
  return {
    platform,
    arch,
    supported,
    libraries: new Set(
      (["cuda", "tensorrt"] as const).filter((name) => existsSync(join(binding, providerLibrary(name)))),
    ),
    gpuNodes: [
      ...matching("/dev/dri", /^renderD\d+$/),
      ...matching("/dev", /^(nvidia\d+|dxg|mali\d+|kgsl-3d\d+)$/),
    ],
    vulkanDrivers: env.VK_DRIVER_FILES ?? env.VK_ICD_FILENAMES ?? "",
  };
}

/** Version of the installed onnxruntime-node. */
export function onnxRuntimeVersion(): string {
  const manifest: unknown = createRequire(import.meta.url)(join(onnxRuntimeRoot(), "package.json"));
  return typeof manifest === "object" && manifest !== null && "version" in manifest
    ? String(manifest.version)
    : "unknown";
}

function onnxRuntimeRoot(): string {
  // Its main file is dist/index.js.
  return dirname(dirname(createRequire(import.meta.url).resolve("onnxruntime-node")));
}

function matching(dir: string, pattern: RegExp): string[] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .filter((name) => pattern.test(name))
    .map((name) => join(dir, name));
}
