import * as vscode from 'vscode';
import { Kept } from '../model/kept';
import { isAsking, isLive } from '../model/runs';
import type { LiveRun } from '../model/runs';
import { isTaskFilePath } from '../model/task_files';
import { idOf, loneRuns, lostRuns, runsOf, specOf, tasksBelow } from '../model/tree';
import type { FileNode, Node, SpecNode, TaskNode } from '../model/tree';
import type { Spec, SpecTask } from '../protocol';
import type { Change } from '../runs/store';
import type { App } from '../server/connection';
import { fileItem, runItem, specItem, taskItem } from './items';

/** What happens within this time is shown at once. */
const SHOWN_MS = 250;
/** A file that is typed in is read again when it rested for so long. */
const READ_MS = 700;
/** Of the runs of a task so many are shown. */
const RUNS = 10;
/** States at whose beginning the box of the task may be marked. */
const MARKING: readonly string[] = ['running', 'applied', 'undone', 'cancelled', 'failed'];
/** States in which a run shows itself. */
const TURNS: readonly string[] = ['running', 'waiting', 'review', 'conflict', 'failed'];

/**
 * Specs, their tasks, the runs of those, and the files that are to be reviewed. The server is asked while the view is shown and
 * not otherwise; of a spec the tasks are asked for when it is opened.
 */
export class SpecTree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  private readonly emitter = new vscode.EventEmitter<Node | undefined>();
  readonly onDidChangeTreeData = this.emitter.event;

  private view: vscode.TreeView<Node> | undefined;
  /** As they were listed last; what is looked for while they are listed again is found in these. */
  private specs: Spec[] | undefined;
  /** The list, from when it was asked for until something in it may have changed. */
  private asked: Promise<Spec[]> | undefined;
  /** The tasks of task files, by URI. */
  private readonly tasks = new Kept<SpecTask[]>();
  /** Task files that have changed since they rested last. */
  private readonly old = new Set<string>();
  private readonly nodes = new Map<string, Node>();
  private readonly parents = new Map<string, Node | undefined>();
  private showing: NodeJS.Timeout | undefined;
  private reading: NodeJS.Timeout | undefined;
  private outdated = false;
  /** Whether looking at the view is a reason to start the server: not once a person has stopped it, until they look anew. */
  private mayStart = true;
  /** What is to be shown again, where it is not the whole. */
  private readonly waiting = new Set<Node>();
  /** The run that a person shall see next. */
  private led: string | undefined;
  /** The files of runs that are to be reviewed. */
  private readonly files = new Kept<FileNode[]>();
  private readonly subscriptions: vscode.Disposable[];

  constructor(private readonly app: App) {
    this.subscriptions = [
      app.runs.onDidChange((changes) => this.changed(changes)),
      app.server.onReviewChanged(({ runId }) => {
        this.files.drop(runId);
        const run = app.runs.get(runId);
        if (run) this.showSoon(this.placeOf(run));
      }),
      app.server.onDidChangeState((state) => {
        if (state === 'stopped') this.mayStart = false;
        if (state === 'running' || state === 'failed' || state === 'stopped') this.refresh();
      }),
      vscode.workspace.onDidChangeWorkspaceFolders(() => this.refresh()),
    ];
  }

  /** The view that shows this tree. */
  shownIn(view: vscode.TreeView<Node>): void {
    this.view = view;
    this.subscriptions.push(
      view.onDidChangeVisibility(({ visible }) => {
        if (visible && (this.outdated || !this.mayStart)) this.lookAnew();
      }),
    );
    this.showBadge();
  }

  dispose(): void {
    clearTimeout(this.showing);
    clearTimeout(this.reading);
    this.emitter.dispose();
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  // What changes

  /** A person looks at the view, or wants to see it as it is now. */
  lookAnew(): void {
    this.mayStart = true;
    this.refresh();
  }

  /** Everything is looked at again. */
  private refresh(): void {
    this.asked = undefined;
    this.tasks.clear();
    this.files.clear();
    this.showSoon();
  }

  /** A task file has changed, in an editor or on the disk. */
  stale(uri: vscode.Uri): void {
    if (!isTaskFilePath(uri.path)) return;
    this.old.add(uri.toString());
    this.listSoon();
  }

  /** The specs are listed again once nothing more happens. */
  listSoon(): void {
    clearTimeout(this.reading);
    this.reading = setTimeout(() => {
      for (const uri of this.old) this.tasks.drop(uri);
      this.old.clear();
      this.asked = undefined;
      this.showSoon();
    }, READ_MS);
  }

  private changed(changes: readonly Change[]): void {
    this.showBadge();
    if (changes.length === 0 && this.app.server.state === 'running') this.showSoon();
    for (const { before, after, live } of changes) {
      if (before && looksOf(before) === looksOf(after)) continue;
      this.files.drop(after.runId);
      // Of a run that just began its events come before the record that says what it is of.
      const isTurn = before?.state !== after.state || before.path !== after.path;
      const spec = this.specOf(after);
      if (isTurn && spec && MARKING.includes(after.state)) {
        this.tasks.drop(spec.uri);
        this.asked = undefined;
      }
      // A row that is shown again while others open may be lost to VS Code, so at a turn of events all are.
      this.showSoon(isTurn ? undefined : this.placeOf(after));
      if (live && before?.state !== after.state && TURNS.includes(after.state)) this.led = after.runId;
    }
  }

  private specOf(run: LiveRun): Spec | undefined {
    return specOf(run, this.specs ?? []);
  }

  /** The task that a run is shown below; `undefined` for the whole tree. */
  private placeOf(run: LiveRun): Node | undefined {
    const spec = this.specOf(run);
    return spec && this.nodes.get(`task ${spec.uri} ${run.task}`);
  }

  /** Shows a node and what is below it again; without one the whole tree. */
  private showSoon(node?: Node): void {
    if (node) this.waiting.add(node);
    else this.outdated = true;
    this.showing ??= setTimeout(() => this.showNow(), SHOWN_MS);
  }

  private showNow(): void {
    this.showing = undefined;
    const waiting = [...this.waiting];
    this.waiting.clear();
    if (!this.view?.visible) this.outdated = true;
    else if (this.outdated) this.emitter.fire(undefined);
    else for (const node of waiting) this.emitter.fire(node);
    const led = this.led === undefined ? undefined : this.app.runs.get(this.led);
    if (led?.path === '') return; // what it is of is not known yet
    this.led = undefined;
    if (led && this.view?.visible) this.lead(led).catch(() => undefined);
  }

  /** Opens what is around a run: rows that were closed once stay so by themselves, whatever happens in them. */
  private async lead(run: LiveRun): Promise<void> {
    const open = async (node: Node | undefined): Promise<void> => {
      if (node) await this.view?.reveal(node, { select: false, focus: false, expand: true });
    };
    const spec = this.specOf(run);
    // Of a spec that was never opened no task is known.
    if (spec && !this.placeOf(run)) await open(this.nodes.get(idOf({ kind: 'spec', uri: spec.uri, spec })));
    await open(this.placeOf(run));
    if (run.state === 'review') await open(this.nodes.get(idOf(runNode(run))));
  }

  private showBadge(): void {
    if (!this.view) return;
    const { asking, reviews } = this.app.runs.tally();
    const parts = [
      asking > 0 && vscode.l10n.t('{0} waiting for an answer', asking),
      reviews > 0 && vscode.l10n.t('{0} to review', reviews),
    ].filter((part) => part !== false);
    this.view.badge = asking + reviews > 0 ? { value: asking + reviews, tooltip: parts.join(', ') } : undefined;
  }

  // What is shown

  getParent(node: Node): Node | undefined {
    return this.parents.get(idOf(node));
  }

  async getChildren(node?: Node): Promise<Node[]> {
    if (node === undefined) this.outdated = false;
    const found = await this.childrenOf(node);
    for (const child of found) {
      this.nodes.set(idOf(child), child);
      this.parents.set(idOf(child), node);
    }
    return found;
  }

  private async childrenOf(node: Node | undefined): Promise<Node[]> {
    switch (node?.kind) {
      case undefined:
        return await this.top();
      case 'spec': {
        const tasks = await this.tasksOf(node.uri);
        const lost = lostRuns(node.spec, tasks, this.app.runs.all());
        return [...tasksBelow(node, tasks), ...lost.map(runNode)];
      }
      case 'task': {
        const tasks = await this.tasksOf(node.uri);
        const runs = runsOf(node, this.app.runs.all()).slice(0, RUNS);
        return [...runs.map(runNode), ...tasksBelow(node, tasks)];
      }
      case 'run':
        return await this.filesOf(node.runId);
      case 'file':
        return [];
    }
  }

  private async top(): Promise<Node[]> {
    const specs = await this.list();
    const lone = loneRuns(specs, this.app.runs.all()).slice(0, RUNS);
    // Until this is known the view says nothing, rather than how to begin.
    const found = specs.length + lone.length > 0 ? 'some' : 'none';
    void vscode.commands.executeCommand('setContext', 'kiroLsp.specs', found);
    return [...specs.map((spec): SpecNode => ({ kind: 'spec', uri: spec.uri, spec })), ...lone.map(runNode)];
  }

  /** The specs; where no server runs it is started if there is a task file, since the person looks at the view. */
  private async list(): Promise<Spec[]> {
    const { server, log } = this.app;
    if (!this.asked && server.state !== 'running') {
      const mayStart = server.state === 'stopped' && this.mayStart && this.view?.visible;
      if (!mayStart || !(await hasTaskFile())) return [];
    }
    const asked = (this.asked ??= server.specs());
    try {
      const specs = await asked;
      if (this.asked === asked) this.specs = specs;
    } catch (error) {
      if (this.asked === asked) this.asked = undefined;
      log.warn(`specs: ${String(error)}`);
    }
    return this.specs ?? [];
  }

  /** Whether a person has stopped the server: what is still shown starts it as little as what is looked for. */
  private isStopped(): boolean {
    return this.app.server.state === 'stopped' && !this.mayStart;
  }

  private async tasksOf(uri: string): Promise<SpecTask[]> {
    if (this.isStopped()) return this.tasks.last(uri) ?? [];
    try {
      return await this.tasks.get(uri, async () => (await this.app.server.specs(uri))[0]?.tasks ?? []);
    } catch (error) {
      this.app.log.warn(`tasks of ${uri}: ${String(error)}`);
      return [];
    }
  }

  private async filesOf(runId: string): Promise<FileNode[]> {
    if (this.isStopped()) return this.files.last(runId) ?? [];
    try {
      return await this.files.get(runId, async () => {
        const { files } = await this.app.server.review(runId);
        return files.map(({ path, to, action, status, binary, conflict }) => ({
          kind: 'file',
          runId,
          path: to ?? path,
          action,
          status,
          binary,
          conflict: conflict !== undefined,
        }));
      });
    } catch (error) {
      this.app.log.warn(`review of ${runId}: ${String(error)}`);
      return [];
    }
  }

  getTreeItem(node: Node): vscode.TreeItem {
    const find = (runId: string): LiveRun | undefined => this.app.runs.get(runId);
    switch (node.kind) {
      case 'spec':
        return specItem(node, this.isOpen(node));
      case 'task': {
        const runs = runsOf(node, this.app.runs.all());
        return taskItem(node, runs, this.stateOf(node, runs));
      }
      case 'run': {
        const run = find(node.runId);
        const bare = this.parents.get(idOf(node))?.kind !== 'task';
        return run ? runItem(run, find, bare) : new vscode.TreeItem(node.runId);
      }
      case 'file':
        return fileItem(node, find(node.runId)?.root ?? '');
    }
  }

  /** Open by itself is what is worked on: the spec in front, the only one, and those with a run under way. */
  private isOpen({ uri, spec }: SpecNode): boolean {
    const active = vscode.window.activeTextEditor?.document.uri.toString();
    const live = this.app.runs.all().some((run) => isLive(run) && specOf(run, [spec]) !== undefined);
    return active === uri || live || this.specs?.length === 1;
  }

  private stateOf(node: TaskNode, runs: readonly LiveRun[]): vscode.TreeItemCollapsibleState {
    const below = this.tasks.last(node.uri)?.some((task) => task.parent === node.task) ?? false;
    if (!below && runs.length === 0) return vscode.TreeItemCollapsibleState.None;
    const [newest] = runs;
    const busy = newest !== undefined && (isLive(newest) || isAsking(newest) || newest.state === 'review');
    const open = busy || (below && node.about.status !== 'done');
    return open ? vscode.TreeItemCollapsibleState.Expanded : vscode.TreeItemCollapsibleState.Collapsed;
  }
}

function runNode(run: LiveRun): Node {
  return { kind: 'run', runId: run.runId };
}

async function hasTaskFile(): Promise<boolean> {
  return (await vscode.workspace.findFiles('**/tasks.md', '**/node_modules/**', 1)).length > 0;
}

/** What is seen of a run here. */
function looksOf(run: LiveRun): string {
  const { state, phase, phaseDetail, fileCount, question, used, title, label, supersededBy } = run;
  return JSON.stringify([
    state,
    phase,
    phaseDetail,
    fileCount,
    question?.requestId,
    used?.cost,
    title,
    label,
    supersededBy,
  ]);
}
