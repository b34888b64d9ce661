import type { FromPage } from '../model/output';
import type { pageWords } from '../output/words';

declare function acquireVsCodeApi(): { postMessage(message: FromPage): void };

const api = acquireVsCodeApi();

/** Says something to the extension. */
export function post(message: FromPage): void {
  api.postMessage(message);
}

export type Word = keyof ReturnType<typeof pageWords>;

const known = new Map<string, string>();

/** The words come before anything is shown. */
export function learn(words: Record<string, string>): void {
  for (const [key, text] of Object.entries(words)) known.set(key, text);
}

/** A word in the person's language, with `{0}`, `{1}` … filled in. */
export function say(word: Word, ...args: (string | number)[]): string {
  return (known.get(word) ?? '').replace(/\{(\d)\}/g, (_all, place: string) => String(args[Number(place)] ?? ''));
}
