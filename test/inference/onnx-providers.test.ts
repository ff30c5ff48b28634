import { describe, expect, it } from "vitest";
import { TonetapError } from "../../src/core/errors.ts";
import {
  candidateProviders,
  chooseProvider,
  type Machine,
  onnxRuntimeVersion,
  type ProviderName,
  refuseProvider,
} from "../../src/inference/onnx-providers.ts";

const GPU_MACHINE: Machine = {
  platform: "linux",
  arch: "x64",
  supported: ["cpu", "webgpu", "cuda", "tensorrt"],
  libraries: new Set(["cuda"]),
  gpuNodes: ["/dev/dri/renderD128"],
  vulkanDrivers: "",
};
const PLAIN_MACHINE: Machine = { ...GPU_MACHINE, libraries: new Set(), gpuNodes: [] };

/** Providers that open, with the ms of a full batch; an error is what opening throws. */
function trials(outcomes: Partial<Record<ProviderName, number | Error>>) {
  const log: string[] = [];
  return {
    log,
    open: async (provider: ProviderName) => {
      log.push(`open ${provider}`);
      const outcome = outcomes[provider];
      if (outcome instanceof Error) throw outcome;
      return { provider, ms: outcome ?? 1 };
    },
    fullBatchMs: async (session: { ms: number }) => session.ms,
    release: async (session: { provider: string }) => {
      log.push(`release ${session.provider}`);
    },
  };
}

describe("candidateProviders()", () => {
  it("tries tensorrt first of 4 where its library is installed, else 3 without it", () => {
    const withTensorRt: Machine = { ...GPU_MACHINE, libraries: new Set(["cuda", "tensorrt"]) };

    expect(candidateProviders("auto", withTensorRt)).toEqual(["tensorrt", "cuda", "webgpu", "cpu"]);
    expect(candidateProviders("auto", GPU_MACHINE)).toEqual(["cuda", "webgpu", "cpu"]);
    expect(candidateProviders("tensorrt", GPU_MACHINE)).toEqual(["tensorrt"]);
  });
});

describe("refuseProvider()", () => {
  it.each([
    ["cuda", "auto", PLAIN_MACHINE, "libonnxruntime_providers_cuda is not installed beside onnxruntime-node"],
    ["cuda", "cuda", PLAIN_MACHINE, "libonnxruntime_providers_cuda is not installed beside onnxruntime-node"],
    [
      "tensorrt",
      "tensorrt",
      GPU_MACHINE,
      "libonnxruntime_providers_tensorrt is not installed beside onnxruntime-node",
    ],
    [
      "cuda",
      "cuda",
      { ...GPU_MACHINE, platform: "darwin", supported: ["cpu"] },
      "onnxruntime-node has no cuda for darwin x64",
    ],
    ["webgpu", "auto", PLAIN_MACHINE, "this machine has no GPU device"],
    [
      "webgpu",
      "auto",
      { ...GPU_MACHINE, vulkanDrivers: "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json" },
      "the Vulkan driver is a software one (/usr/share/vulkan/icd.d/lvp_icd.x86_64.json)",
    ],
  ] as const)("does not start %s for %s: 1 reason", (provider, device, machine, reason) => {
    expect(refuseProvider(provider, device, machine)).toBe(reason);
  });

  it("starts webgpu on a software driver when it is asked for by name, in 1 of 1 cases", () => {
    expect(
      refuseProvider("webgpu", "webgpu", { ...PLAIN_MACHINE, vulkanDrivers: "vk_swiftshader_icd.json" }),
    ).toBeUndefined();
  });

  it("starts webgpu under auto on macOS and Windows, which list 0 device nodes", () => {
    for (const platform of ["darwin", "win32"]) {
      expect(refuseProvider("webgpu", "auto", { ...PLAIN_MACHINE, platform })).toBeUndefined();
    }
  });
});

describe("chooseProvider()", () => {
  it("takes cuda under auto when its batch takes 2 ms and the processor's 9 ms", async () => {
    const { log, ...rest } = trials({ cuda: 2, cpu: 9 });

    const { provider, tried } = await chooseProvider("auto", GPU_MACHINE, rest);

    expect([provider, tried]).toEqual(["cuda", []]);
    expect(log).toEqual(["open cuda", "open cpu", "release cpu"]);
  });

  it("takes the processor under auto when webgpu is 350 times slower, and says so", async () => {
    const { log, ...rest } = trials({ cuda: new Error("no driver"), webgpu: 700, cpu: 2 });

    const { provider, tried } = await chooseProvider("auto", GPU_MACHINE, rest);

    expect(provider).toBe("cpu");
    expect(tried).toEqual([
      { provider: "cuda", reason: "no driver" },
      { provider: "webgpu", reason: "slower than the processor: 700.0 ms a batch against 2.0 ms" },
    ]);
    expect(log).toEqual(["open cuda", "open webgpu", "open cpu", "release webgpu"]);
  });

  it("takes the processor under auto on a machine without a GPU, opening 1 session", async () => {
    const { log, ...rest } = trials({});

    const { provider, tried } = await chooseProvider("auto", PLAIN_MACHINE, rest);

    expect(provider).toBe("cpu");
    expect(tried.map((refused) => refused.provider)).toEqual(["cuda", "webgpu"]);
    expect(log).toEqual(["open cpu"]);
  });

  it("has no second choice when 1 device is asked for by name", async () => {
    const refusal = new Error(
      "/src/webgpu_context.cc:136 status == Success was false. Failed to get a WebGPU adapter\n\n at x",
    );

    await expect(chooseProvider("webgpu", PLAIN_MACHINE, trials({ webgpu: refusal }))).rejects.toMatchObject({
      code: "unavailable",
      retryable: false,
      message: "the model cannot run on webgpu: Failed to get a WebGPU adapter",
    });
  });

  it("names all 3 reasons when nothing works under auto", async () => {
    const broken = trials({ cpu: new Error("broken file") });

    await expect(chooseProvider("auto", PLAIN_MACHINE, broken)).rejects.toThrow(
      "the model cannot run on auto: cuda: libonnxruntime_providers_cuda is not installed beside onnxruntime-node; webgpu: this machine has no GPU device; cpu: broken file",
    );
  });

  it("tries no other device when the model itself is wrong (1 opened)", async () => {
    const { log, ...rest } = trials({ cuda: new TonetapError("invalid-argument", "wrong tensors") });

    await expect(chooseProvider("auto", GPU_MACHINE, rest)).rejects.toThrow("wrong tensors");
    expect(log).toEqual(["open cuda"]);
  });
});

it("reads the installed runtime's version, 3 numbers", () => {
  expect(onnxRuntimeVersion()).toMatch(/^\d+\.\d+\.\d+/);
});
