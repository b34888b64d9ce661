import * as vscode from 'vscode';
import * as model from '../model/review';
import type { Hunk, Review, ReviewFile, Verdict } from '../protocol';

/** "3 files". */
export function files(count: number): string {
  return count === 1 ? vscode.l10n.t('1 file') : vscode.l10n.t('{0} files', count);
}

export function changes(count: number): string {
  return count === 1 ? vscode.l10n.t('1 change') : vscode.l10n.t('{0} changes', count);
}

/** What is known of whether the change set holds; empty where nothing was verified. */
export function verdict(verify: Verdict | null): string {
  if (!verify) return '';
  if (verify.running) return vscode.l10n.t('verifying…');
  if (verify.outdated) return vscode.l10n.t('verified before it changed');
  if (verify.ok === null) return vscode.l10n.t('not verified');
  return verify.ok ? vscode.l10n.t('verified') : vscode.l10n.t('verify failed');
}

/** The same for menus: which icon says it. */
export function verdictKind(verify: Verdict | null): '' | 'passed' | 'failed' | 'running' | 'open' {
  if (!verify) return '';
  if (verify.running) return 'running';
  return verify.outdated || verify.ok === null ? 'open' : verify.ok ? 'passed' : 'failed';
}

/** The icon that goes with it, for places that show codicons. */
export function verdictIcon(verify: Verdict | null): string {
  if (!verify) return '';
  if (verify.running) return '$(sync~spin)';
  return verify.ok && !verify.outdated ? '$(pass)' : verify.ok === false ? '$(error)' : '$(circle-slash)';
}

/** What happens to a file, in a few words; empty for a text that is only changed. */
export function action(file: ReviewFile): string {
  const said: string[] = [];
  if (file.action === 'create') said.push(vscode.l10n.t('new file'));
  if (file.action === 'delete') said.push(vscode.l10n.t('is deleted'));
  if (file.action === 'rename') said.push(vscode.l10n.t('renamed from {0}', file.path));
  if (file.binary) said.push(vscode.l10n.t('binary'));
  const isUsual = file.action === 'create' && (parseInt(file.mode ?? '0', 8) & 0o111) === 0;
  if (file.mode && !isUsual) said.push(vscode.l10n.t('mode {0}', file.mode));
  return said.join(', ');
}

/** A file that cannot be compared as a text, for a list. */
export function named(file: ReviewFile): string {
  return `${file.to ?? file.path} (${action(file)})`;
}

/** What a hunk does, as the head of its card. */
export function hunk(review: Review, file: ReviewFile, one: Hunk): string {
  const open = model.pending(review);
  const place = vscode.l10n.t('Change {0} of {1}', open.findIndex((other) => other.hunk === one) + 1, open.length);
  const { added, removed } = model.size(one);
  const counts = [added ? `+${added}` : '', removed ? `−${removed}` : ''].filter(Boolean).join(' ');
  const mine = one.mine ? vscode.l10n.t('yours') : '';
  return [place, action(file), counts, mine, meets(file, one)].filter(Boolean).join(' · ');
}

/** Why a change of a file that moved on cannot be taken in as it is; empty where it can. */
export function meets(file: ReviewFile, one: Hunk): string {
  if (one.now?.conflict) return vscode.l10n.t('meets what you changed');
  return file.now?.conflict !== undefined && file.now.baseUri === undefined ? file.now.conflict : '';
}

/** What an accept has to do with files that are not any more what the run read. */
function moved(review: Review): string {
  const { merged, blocked } = model.movedOn(review);
  const said = [
    merged ? vscode.l10n.t('{0} changed meanwhile', files(merged)) : '',
    blocked ? vscode.l10n.t('{0} in conflict', files(blocked)) : '',
  ];
  return said.filter(Boolean).join(' · ');
}

/** The whole change set in one line: what is left of it, verdict, cost. */
export function summary(review: Review): string {
  const open = model.pending(review);
  const left = new Set(open.map(({ file }) => file.path)).size;
  return [
    model.isOpen(review) ? `${changes(open.length)}, ${files(left)}` : files(review.files.length),
    model.isOpen(review) ? moved(review) : '',
    verdict(review.verify),
    review.cost === null ? '' : `$${Number(review.cost).toFixed(2)}`,
  ]
    .filter(Boolean)
    .join(' · ');
}
