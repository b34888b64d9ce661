/** How a question of a run is put to the person: exactly, and never so that a part of it hides behind the rest. */
import type { Choice, Question } from '../protocol';

/** A notification cuts what is longer than a thousand characters; more than this is no longer read at a glance. */
const AT_A_GLANCE = 240;
/** Controls, marks that turn the direction of writing, and what has no width: they make a text look like another one. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/gu;

/** A text in which everything that cannot be seen is written out: `\u202e`. */
export function seen(text: string): string {
  return text.replace(UNSEEN, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** A command as one line; arguments that are not plain words stand in quotes. */
export function commandLine(argv: readonly string[]): string {
  return argv
    .map((part) => (/^[\w@%+=:,./-]+$/.test(part) ? part : `'${seen(part).replaceAll("'", `'\\''`)}'`))
    .join(' ');
}

/** For notifications, where `[words](command:…)` would be a link: nobody but this extension puts links there. */
export function withoutLinks(text: string): string {
  return seen(text.replaceAll('\n', ' ')).replaceAll('](', ']\u200b(');
}

/** What is asked, in one line: the command where there is one, else the first line of the title. */
export function asked(question: Question): string {
  const argv = question.detail?.argv;
  return argv ? commandLine(argv) : seen(question.title.split('\n')[0] ?? '');
}

/** What the question says besides, one line each: the rest of its title, or every argument of the command by itself. */
export function details(question: Question): string[] {
  const { argv, cwd, env } = question.detail ?? {};
  if (!argv) return question.title.split('\n').slice(1).map(seen);
  const variables = Object.entries(env ?? {}).map(([name, value]) => seen(`${name}=${value}`));
  const place = cwd === undefined || cwd === '.' ? [] : [seen(cwd)];
  return [...argv.map((part) => seen(part)), ...place, ...variables];
}

/** Whether all of it can be read in a notification; else it is opened to be answered. */
export function isShort(question: Question): boolean {
  const { argv, env } = question.detail ?? {};
  const text = argv ? commandLine(argv) : question.title;
  return text.length <= AT_A_GLANCE && !text.trim().includes('\n') && Object.keys(env ?? {}).length === 0;
}

/** Whether it stands before anything else happens, right after a click, and is put as one sheet. */
export function isConsent(question: Question): boolean {
  return question.kind === 'consent' || question.kind === 'spend';
}

/** The option that means no. */
export function denial(question: Question): Choice | undefined {
  return question.options.find((option) => option.kind === 'deny');
}

/** Options that fit on a notification's buttons: those that hold for now, and the no; the others are found behind “More…”. */
export function buttons(question: Question): Choice[] {
  const short = question.options.filter((option) => option.kind !== 'allow-always');
  return question.options.length <= 3 ? question.options : short;
}
