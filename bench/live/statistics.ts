/** The little statistics that the benchmarks need. Pure: measuring is elsewhere. */

/** The middle value, or the mean of the two in the middle; 0 when there are none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2;
}

/** Least-squares slope of y over x; undefined unless there are two different x. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number | undefined {
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / points.length;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / points.length;
  let covariance = 0;
  let variance = 0;
  for (const [x, y] of points) {
    covariance += (x - meanX) * (y - meanY);
    variance += (x - meanX) ** 2;
  }
  return variance > 0 ? covariance / variance : undefined;
}

/** Where the line through two points reaches `y`; undefined when it is level. */
export function crossing(
  [x0, y0]: readonly [x: number, y: number],
  [x1, y1]: readonly [x: number, y: number],
  y: number,
): number | undefined {
  return y1 === y0 ? undefined : x0 + ((y - y0) * (x1 - x0)) / (y1 - y0);
}
