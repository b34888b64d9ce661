import * as vscode from 'vscode';
import { isTaskFilePath } from '../model/task_files';
import type { LiveRun } from '../model/runs';
import type { SpecTask } from '../protocol';
import type { App } from '../server/connection';
import { runLine, stateIcon, titleOf } from './words';

/** A task as commands name it. */
export interface TaskTarget {
  uri: string;
  /** A key, an id or `:LINE` (1-based). */
  task: string;
  title: string;
}

/** Whether a document is a task file by its name; what is in it the server says. */
export function isTaskFile(document: vscode.TextDocument): boolean {
  return document.uri.scheme === 'file' && isTaskFilePath(document.uri.path);
}

/** The task file of a run; `undefined` for a pasted answer. */
export function uriOf(run: LiveRun): vscode.Uri | undefined {
  return run.path === '' || run.root === '' ? undefined : vscode.Uri.joinPath(vscode.Uri.file(run.root), run.path);
}

/**
 * The task that a command is about: what it was given, the one at the cursor, or one that the person picks.
 * @param argument `{uri, task}` of a lens or a tree, or nothing
 * @param status which tasks are offered to be picked; all where it is left out
 */
export async function taskTarget(
  app: App,
  argument: unknown,
  title: string,
  status?: readonly string[],
): Promise<TaskTarget | undefined> {
  const given = argument as Partial<TaskTarget> | undefined;
  if (typeof given?.uri === 'string' && typeof given.task === 'string') {
    return { uri: given.uri, task: given.task, title: given.title ?? (await titleOfTask(app, given.uri, given.task)) };
  }
  const editor = vscode.window.activeTextEditor;
  const uri = editor && isTaskFile(editor.document) ? editor.document.uri.toString() : await pickFile(app, title);
  if (uri === undefined) return undefined;
  const tasks = await tasksOf(app, uri);
  const at = editor?.document.uri.toString() === uri ? taskAt(tasks, editor.selection.active.line) : undefined;
  const task = at ?? (await pickTask(tasks, title, status));
  return task && { uri, task: task.key, title: named(task) };
}

/** What a task is called in front of people; the selector where it is not found. */
async function titleOfTask(app: App, uri: string, selector: string): Promise<string> {
  const tasks = await tasksOf(app, uri);
  const task = tasks.find(({ id, key, line }) => selector === id || selector === key || selector === `:${line + 1}`);
  return task ? named(task) : selector;
}

/** Tasks of a file, in the order of their lines. */
async function tasksOf(app: App, uri: string): Promise<SpecTask[]> {
  return (await app.server.specs(uri))[0]?.tasks ?? [];
}

/** The last task that begins at a line or above it. `line` is 0-based. */
function taskAt(tasks: readonly SpecTask[], line: number): SpecTask | undefined {
  return tasks.filter((task) => task.line <= line).at(-1);
}

async function pickFile(app: App, title: string): Promise<string | undefined> {
  const specs = await app.server.specs();
  if (specs.length === 0) {
    void vscode.window.showInformationMessage(vscode.l10n.t('There is no task file in this folder.'));
    return undefined;
  }
  if (specs.length === 1) return specs[0]?.uri;
  const items = specs.map((spec) => ({
    label: spec.name,
    description: vscode.l10n.t('{0} of {1} done', spec.done, spec.total),
    detail: spec.path,
    uri: spec.uri,
  }));
  return (await vscode.window.showQuickPick(items, { title, placeHolder: vscode.l10n.t('Of which spec?') }))?.uri;
}

async function pickTask(
  tasks: readonly SpecTask[],
  title: string,
  status: readonly string[] | undefined,
): Promise<SpecTask | undefined> {
  const items = tasks
    .filter((task) => status === undefined || status.includes(task.status))
    .map((task) => ({ label: named(task), description: vscode.l10n.t('line {0}', task.line + 1), task }));
  if (items.length === 0) {
    void vscode.window.showInformationMessage(vscode.l10n.t('There is no such task in this file.'));
    return undefined;
  }
  return (await vscode.window.showQuickPick(items, { title, placeHolder: vscode.l10n.t('Which task?') }))?.task;
}

function named(task: SpecTask): string {
  return task.id === null ? task.title : `${task.id}. ${task.title}`;
}

/**
 * The run that a command is about: the one it was given, that of the task at the cursor, or one that the person picks.
 * @param argument `{runId}` of a lens or a tree, a run's id, or nothing
 * @param fits which runs the command can do something with
 */
export async function runTarget(
  app: App,
  argument: unknown,
  title: string,
  fits: (run: LiveRun) => boolean,
): Promise<LiveRun | undefined> {
  await app.runs.refresh();
  const given = typeof argument === 'string' ? argument : (argument as { runId?: unknown } | undefined)?.runId;
  if (typeof given === 'string') return app.runs.get(given) ?? (await app.runs.catchUp(given));
  const fitting = app.runs.all().filter(fits);
  const at = await runAtCursor(app, fitting);
  if (at) return at;
  if (fitting.length === 0) {
    void vscode.window.showInformationMessage(vscode.l10n.t('{0}: there is no run that fits.', title));
    return undefined;
  }
  const now = Date.now();
  const items = fitting.map((run) => ({
    label: titleOf(run),
    iconPath: new vscode.ThemeIcon(stateIcon(run)),
    description: run.label,
    detail: `${runLine(run, now)}${run.path === '' ? '' : ` · ${run.path}`}`,
    run,
  }));
  const placeHolder = vscode.l10n.t('Which run?');
  return (await vscode.window.showQuickPick(items, { title, placeHolder, matchOnDetail: true }))?.run;
}

/** The newest of some runs that is one of the task at the cursor. */
async function runAtCursor(app: App, runs: readonly LiveRun[]): Promise<LiveRun | undefined> {
  const editor = vscode.window.activeTextEditor;
  if (!editor || !isTaskFile(editor.document)) return undefined;
  const uri = editor.document.uri.toString();
  const here = runs.filter((run) => uriOf(run)?.toString() === uri);
  if (here.length === 0) return undefined;
  const task = taskAt(await tasksOf(app, uri), editor.selection.active.line);
  return here.find((run) => run.task === task?.key);
}
