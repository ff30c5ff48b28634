/** Logits to calibrated probabilities. */

/**
 * pᵢ = exp(zᵢ / temperature) / Σ exp(zⱼ / temperature), shifted by the largest z so that nothing overflows.
 * @returns undefined when a logit is not finite
 */
export function softmax(logits: Float32Array, temperature: number): Float32Array | undefined {
  let largest = Number.NEGATIVE_INFINITY;
  for (const logit of logits) {
    if (!Number.isFinite(logit)) return undefined;
    if (logit > largest) largest = logit;
  }
  let sum = 0;
  for (const logit of logits) sum += Math.exp((logit - largest) / temperature);
  return logits.map((logit) => Math.exp((logit - largest) / temperature) / sum);
}
