const decimalExponents: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const binarySuffixes = ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

/**
 * A Kubernetes quantity (`512Mi`, `1.5G`, `100m`, `2e9`) as a whole number, rounded up as the API does.
 * `undefined` for anything else, for negative values, and for values beyond 2^53 - 1.
 * Grammar: k8s.io/apimachinery/pkg/api/resource, Quantity.
 */
export function parseQuantity(text: unknown): number | undefined {
  if (typeof text === 'number') return whole(text);
  if (typeof text !== 'string' || text.length > 50) return undefined;
  const match = /^\+?(\d+(?:\.\d*)?|\.\d+)(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?\d{1,3}))?$/.exec(
    text,
  );
  if (!match) return undefined;
  const [, digits = '', binary, decimal, exponent] = match;
  if (binary !== undefined)
    return whole(Number(digits) * 1024 ** (1 + binarySuffixes.indexOf(binary)));
  const power = exponent === undefined ? decimalExponents[decimal ?? ''] : Number(exponent);
  // As one literal, so that 1.1G is exactly 1100000000 and not a float's neighbour of it, rounded up.
  return whole(Number(`${digits}e${power ?? 0}`));
}

function whole(value: number): number | undefined {
  const rounded = Math.ceil(value);
  return rounded >= 0 && Number.isSafeInteger(rounded) ? rounded : undefined;
}
