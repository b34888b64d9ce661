import * as vscode from 'vscode';
import { isAsking, isCutOff, isLive, isReviewable, isRunning } from '../model/runs';
import type { LiveRun } from '../model/runs';
import { idOf } from '../model/tree';
import type { FileNode, SpecNode, TaskNode } from '../model/tree';
import { stateIcon, stateWords, timeWords, titleOf, usedWords } from '../runs/words';
const { Collapsed, Expanded, None } = vscode.TreeItemCollapsibleState;

/** A spec with how much of it is done. */
export function specItem(node: SpecNode, open: boolean): vscode.TreeItem {
  const { spec } = node;
  const item = new vscode.TreeItem(spec.name, open ? Expanded : Collapsed);
  const counted = vscode.l10n.t('{0} of {1} done', spec.done, spec.total);
  item.id = idOf(node);
  item.iconPath = new vscode.ThemeIcon(spec.total > 0 && spec.done === spec.total ? 'pass' : 'checklist');
  item.description = `${spec.done}/${spec.total}`;
  item.tooltip = [spec.path, counted, spec.dialect].join('\n');
  item.contextValue = 'spec';
  item.accessibilityInformation = { label: [spec.name, counted].join(', ') };
  return item;
}

/**
 * A task as its newest run has it, else as its box says.
 * @param runs its runs, newest first
 */
export function taskItem(
  node: TaskNode,
  runs: readonly LiveRun[],
  state: vscode.TreeItemCollapsibleState,
): vscode.TreeItem {
  const { about } = node;
  const name = about.id === null ? about.title : `${about.id} ${about.title}`;
  const item = new vscode.TreeItem(name, state);
  const [newest] = runs;
  const shown = newest && (isLive(newest) || isReviewable(newest) || isCutOff(newest)) ? newest : undefined;
  item.id = idOf(node);
  item.iconPath = shown ? iconOf(shown) : statusIcon(about.status);
  item.description = shown ? [shown.label, stateWords(shown)].filter((part) => part !== '').join(' · ') : '';
  item.tooltip = new vscode.MarkdownString().appendText(`${name}\n${statusWords(about.status)}`);
  item.contextValue = [
    'task',
    about.status === 'done' ? 'done' : 'open',
    shown && isRunning(shown) ? 'live' : 'idle',
  ].join(' ');
  item.accessibilityInformation = {
    label: [name, statusWords(about.status), item.description].filter(Boolean).join(', '),
  };
  const place = new vscode.Range(about.line, 0, about.line, 0);
  item.command = {
    command: 'vscode.open',
    title: vscode.l10n.t('Open'),
    arguments: [vscode.Uri.parse(node.uri), { selection: place, preserveFocus: true }],
  };
  return item;
}

/** A run: who, how far, how long, for how much. */
export function runItem(run: LiveRun, find: (runId: string) => LiveRun | undefined, bare: boolean): vscode.TreeItem {
  const reviewable = isReviewable(run, find);
  const state = reviewable && run.fileCount > 0 ? (isLive(run) ? Collapsed : Expanded) : None;
  const now = Date.now();
  const item = new vscode.TreeItem(bare ? titleOf(run) : stateWords(run), reviewable ? state : None);
  const used = [run.label, bare ? stateWords(run) : '', timeWords(run, now), usedWords(run.used)].filter(
    (part) => part !== '',
  );
  item.id = idOf({ kind: 'run', runId: run.runId });
  item.iconPath = iconOf(run);
  item.description = used.join(' · ');
  item.tooltip = tooltipOf(run, now);
  item.contextValue = flagsOf(run, reviewable);
  item.accessibilityInformation = { label: [vscode.l10n.t('Run'), titleOf(run), stateWords(run), ...used].join(', ') };
  item.command = reviewable
    ? { command: 'kiroLsp.reviewRun', title: vscode.l10n.t('Review'), arguments: [{ runId: run.runId }] }
    : { command: 'kiroLsp.showRun', title: vscode.l10n.t('Show Output'), arguments: [{ runId: run.runId }] };
  return item;
}

/** What menus ask for: one word for each thing that can be done. */
function flagsOf(run: LiveRun, reviewable: boolean): string {
  const flags = ['run'];
  if (isRunning(run)) flags.push('live');
  if (isAsking(run)) flags.push('asking');
  if (reviewable) flags.push('reviewable');
  if (isCutOff(run)) flags.push('cutoff');
  if (run.state === 'applied') flags.push('applied');
  return flags.join(' ');
}

function tooltipOf(run: LiveRun, now: number): vscode.MarkdownString {
  const lines = [
    titleOf(run),
    [run.label, run.model, run.way].filter(Boolean).join(' · '),
    [stateWords(run), timeWords(run, now), usedWords(run.used)].filter((part) => part !== '').join(' · '),
    run.error ? [run.error.message, run.error.hint].join(' ') : run.summary,
    run.runId,
  ];
  return new vscode.MarkdownString().appendText(lines.filter((line) => line !== '').join('\n'));
}

/** The icon of a run's state in its colour. */
function iconOf(run: LiveRun): vscode.ThemeIcon {
  const color = colorOf(run);
  return new vscode.ThemeIcon(stateIcon(run), color === undefined ? undefined : new vscode.ThemeColor(color));
}

function colorOf(run: LiveRun): string | undefined {
  if (isAsking(run) || run.state === 'conflict') return 'list.warningForeground';
  if (run.state === 'review') return 'charts.yellow';
  if (isLive(run)) return 'charts.blue';
  if (run.state === 'applied') return 'testing.iconPassed';
  return run.state === 'failed' || run.state === 'budget' ? 'list.errorForeground' : 'disabledForeground';
}

function statusIcon(status: string): vscode.ThemeIcon {
  switch (status) {
    case 'done':
      return new vscode.ThemeIcon('check', new vscode.ThemeColor('testing.iconPassed'));
    case 'in-progress':
      return new vscode.ThemeIcon('circle-large-filled', new vscode.ThemeColor('charts.blue'));
    case 'blocked':
      return new vscode.ThemeIcon('circle-slash');
    default:
      return new vscode.ThemeIcon('circle-large-outline');
  }
}

function statusWords(status: string): string {
  switch (status) {
    case 'done':
      return vscode.l10n.t('done');
    case 'in-progress':
      return vscode.l10n.t('in progress');
    case 'blocked':
      return vscode.l10n.t('blocked');
    default:
      return vscode.l10n.t('open');
  }
}

/** A file that a run proposes to change. */
export function fileItem(node: FileNode, root: string): vscode.TreeItem {
  const name = node.path.slice(node.path.lastIndexOf('/') + 1);
  const folder = node.path.slice(0, Math.max(0, node.path.length - name.length - 1));
  const item = new vscode.TreeItem(name, None);
  const words = actionWords(node);
  item.id = idOf(node);
  item.resourceUri = vscode.Uri.joinPath(vscode.Uri.file(root), node.path);
  item.iconPath = node.conflict
    ? new vscode.ThemeIcon('warning', new vscode.ThemeColor('list.warningForeground'))
    : new vscode.ThemeIcon(...iconOfFile(node.action));
  item.description = [words, folder].filter((part) => part !== '').join(' · ');
  item.tooltip = `${node.path}\n${words}`;
  item.contextValue = node.status === 'pending' ? 'file pending' : 'file';
  item.accessibilityInformation = { label: [name, words, folder].filter((part) => part !== '').join(', ') };
  item.command = {
    command: 'kiroLsp.openReviewFile',
    title: vscode.l10n.t('Review'),
    arguments: [{ runId: node.runId, path: node.path }],
  };
  return item;
}

function iconOfFile(action: FileNode['action']): [string, vscode.ThemeColor] {
  switch (action) {
    case 'create':
      return ['diff-added', new vscode.ThemeColor('gitDecoration.addedResourceForeground')];
    case 'delete':
      return ['diff-removed', new vscode.ThemeColor('gitDecoration.deletedResourceForeground')];
    case 'rename':
      return ['diff-renamed', new vscode.ThemeColor('gitDecoration.renamedResourceForeground')];
    case 'modify':
      return ['diff-modified', new vscode.ThemeColor('gitDecoration.modifiedResourceForeground')];
  }
}

function actionWords(node: FileNode): string {
  if (node.conflict) return vscode.l10n.t('conflict');
  if (node.status === 'accepted') return vscode.l10n.t('accepted');
  if (node.status === 'rejected') return vscode.l10n.t('rejected');
  switch (node.action) {
    case 'create':
      return vscode.l10n.t('created');
    case 'delete':
      return vscode.l10n.t('deleted');
    case 'rename':
      return vscode.l10n.t('renamed');
    case 'modify':
      return node.binary ? vscode.l10n.t('modified, binary') : vscode.l10n.t('modified');
  }
}
