/** Weights of the time derivatives: librosa.feature.delta, which is a Savitzky–Golay filter (polyorder = order). */

/**
 * Weights of frames t−h…t+h for the derivative at t, h = (width − 1)/2: the slope of the least-squares line
 * (order 1) or the second derivative of the least-squares parabola (order 2) through those frames, a frame.
 */
export function deltaWeights(width: number, order: 1 | 2): Float64Array {
  const half = (width - 1) / 2;
  const meanSquare = (width * width - 1) / 12;
  // The orthogonal polynomials n and n² − mean(n²); their derivatives of that order are 1 and 2.
  const basis = Float64Array.from({ length: width }, (_, i) =>
    order === 1 ? i - half : (i - half) ** 2 - meanSquare,
  );
  const norm = basis.reduce((sum, x) => sum + x * x, 0);
  return basis.map((x) => (order * x) / norm);
}
