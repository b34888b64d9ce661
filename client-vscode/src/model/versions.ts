/** Which versions of the server this extension can talk to; the one place where that is said. */

/** The oldest server that understands what this extension sends. */
export const MINIMUM = '0.1.0';

export type Fit = 'fits' | 'too old' | 'too new';

/** The numbers of a version like `1.2.3`, `kiro-lsp 1.2.3` or `1.2.3rc1`; `undefined` where there is none in the text. */
export function numbersIn(text: string): readonly [number, number, number] | undefined {
  const found = /(\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  return found ? [Number(found[1]), Number(found[2]), Number(found[3] ?? 0)] : undefined;
}

/** Negative where `one` is older than `other`, positive where it is newer; what is no version is the oldest. */
export function compare(one: string, other: string): number {
  const left = numbersIn(one) ?? [-1, 0, 0];
  const right = numbersIn(other) ?? [-1, 0, 0];
  for (let index = 0; index < 3; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Fields are only ever added to the protocol within a major version, so everything newer of the same major fits. */
export function fit(version: string, minimum: string = MINIMUM): Fit {
  if (compare(version, minimum) < 0) return 'too old';
  return (numbersIn(version)?.[0] ?? 0) > (numbersIn(minimum)?.[0] ?? 0) ? 'too new' : 'fits';
}
