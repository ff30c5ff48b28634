/** The cosine transform that turns log-mel bands into cepstral coefficients. */

/** Rows 0…rows−1 of the orthonormal DCT-II of `size` points: scipy.fft.dct(type=2, norm="ortho"). */
export function dctMatrix(rows: number, size: number): Float64Array[] {
  return Array.from({ length: rows }, (_, k) => {
    const scale = Math.sqrt((k === 0 ? 1 : 2) / size);
    return Float64Array.from(
      { length: size },
      (_, n) => scale * Math.cos((Math.PI * k * (2 * n + 1)) / (2 * size)),
    );
  });
}
