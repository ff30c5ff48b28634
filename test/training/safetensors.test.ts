import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { FeatureFileWriter, toHalf } from "../../training/safetensors.ts";

/** IEEE 754 half precision, by its definition. */
function fromHalf(bits: number): number {
  const sign = (bits & 0x8000) === 0 ? 1 : -1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15));
}

describe("toHalf", () => {
  it("gives each of the 65,536 half-precision numbers back", () => {
    for (let bits = 0; bits < 65_536; bits++) {
      const value = fromHalf(bits);
      if (!Number.isNaN(value)) expect(toHalf(value)).toBe(bits);
    }
    expect(fromHalf(toHalf(Number.NaN))).toBeNaN();
  });

  it("errs by at most half of 1 step, and rounds ties to even", () => {
    fc.assert(
      fc.property(fc.float({ min: -65_000, max: 65_000, noNaN: true }), (value) => {
        const step = 2 ** Math.max(-24, Math.floor(Math.log2(Math.abs(value) || 2 ** -14)) - 10);
        expect(Math.abs(fromHalf(toHalf(value)) - value)).toBeLessThanOrEqual(step / 2);
      }),
    );
    expect(fromHalf(toHalf(2049))).toBe(2048);
    expect(fromHalf(toHalf(2051))).toBe(2052);
  });
});

describe("FeatureFileWriter", () => {
  let folder = "";
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("writes 2 clips as one matrix that the safetensors header describes", async () => {
    folder = await mkdtemp(join(tmpdir(), "tonetap-"));
    const path = join(folder, "f.safetensors");
    const writer = await FeatureFileWriter.create(path, 2);
    await writer.append(Uint16Array.of(1, 2, 3, 4), Uint8Array.of(0, 1));
    await writer.append(Uint16Array.of(5, 6), Uint8Array.of(1));
    await writer.close();

    const file = await readFile(path);
    const headerBytes = Number(file.readBigUInt64LE());
    const data = file.subarray(8 + headerBytes);
    expect(JSON.parse(file.subarray(8, 8 + headerBytes).toString())).toEqual({
      features: { dtype: "F16", shape: [3, 2], data_offsets: [0, 12] },
      speech: { dtype: "U8", shape: [3], data_offsets: [12, 15] },
    });
    expect([...new Uint16Array(data.buffer.slice(data.byteOffset, data.byteOffset + 12))]).toEqual([
      1, 2, 3, 4, 5, 6,
    ]);
    expect([...data.subarray(12)]).toEqual([0, 1, 1]);
  });

  it("refuses 3 features for 2 frames of 2", async () => {
    folder = await mkdtemp(join(tmpdir(), "tonetap-"));
    const writer = await FeatureFileWriter.create(join(folder, "f.safetensors"), 2);
    await expect(writer.append(Uint16Array.of(1, 2, 3), Uint8Array.of(0, 1))).rejects.toThrow(/do not fit 2/);
    await writer.close();
  });
});
