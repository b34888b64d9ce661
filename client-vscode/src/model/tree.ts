/** What hangs below what in the tree: specs, their tasks, the runs of those. Pure. */
import type { LiveRun } from './runs';
import type { Spec, SpecTask } from '../protocol';

export interface SpecNode {
  kind: 'spec';
  uri: string;
  spec: Spec;
}

/** `uri` and `task` are what commands on tasks take. */
export interface TaskNode {
  kind: 'task';
  uri: string;
  /** The task's key. */
  task: string;
  about: SpecTask;
  /** What its runs are known by. */
  root: string;
  path: string;
}

/** `runId` is what commands on runs take. */
export interface RunNode {
  kind: 'run';
  runId: string;
}

export interface FileNode {
  kind: 'file';
  runId: string;
  path: string;
  action: 'create' | 'modify' | 'delete' | 'rename';
  status: string;
  binary: boolean;
  conflict: boolean;
}

export type Node = SpecNode | TaskNode | RunNode | FileNode;

/** A name that stays the same for as long as it is the same thing. */
export function idOf(node: Node): string {
  switch (node.kind) {
    case 'spec':
      return `spec ${node.uri}`;
    case 'task':
      return `task ${node.uri} ${node.task}`;
    case 'run':
      return `run ${node.runId}`;
    case 'file':
      return `file ${node.runId} ${node.path}`;
  }
}

/** The tasks at the top of a spec, or those right below one of them. */
export function tasksBelow(node: SpecNode | TaskNode, tasks: readonly SpecTask[]): TaskNode[] {
  const known = new Set(tasks.map((task) => task.key));
  const above = node.kind === 'task' ? node.task : null;
  const { root, path } = node.kind === 'spec' ? node.spec : node;
  return tasks
    .filter((task) => (task.parent !== null && known.has(task.parent) ? task.parent : null) === above)
    .map((about) => ({ kind: 'task', uri: node.uri, task: about.key, about, root, path }));
}

/** The runs of a task, in the order of `runs`. */
export function runsOf(node: TaskNode, runs: readonly LiveRun[]): LiveRun[] {
  return runs.filter((run) => run.task === node.task && run.path === node.path && isBelow(run, node.root));
}

/** The runs of a spec whose task is not in it any more. */
export function lostRuns(spec: Spec, tasks: readonly SpecTask[], runs: readonly LiveRun[]): LiveRun[] {
  const known = new Set(tasks.map((task) => task.key));
  return runs.filter((run) => run.path === spec.path && isBelow(run, spec.root) && !known.has(run.task));
}

/** The spec that a run is of. */
export function specOf(run: LiveRun, specs: readonly Spec[]): Spec | undefined {
  return specs.find((spec) => run.path === spec.path && isBelow(run, spec.root));
}

/** The runs that belong to no spec: pasted answers, and those of files that are gone. */
export function loneRuns(specs: readonly Spec[], runs: readonly LiveRun[]): LiveRun[] {
  return runs.filter((run) => !specOf(run, specs));
}

function isBelow(run: LiveRun, root: string): boolean {
  return run.root === '' || run.root === root;
}

/** The task with all tasks below it, at any depth. */
export function keysBelow(key: string, tasks: readonly SpecTask[]): Set<string> {
  const found = new Set([key]);
  // A task stands behind the one it belongs to, so one pass finds all.
  for (const task of tasks) if (task.parent !== null && found.has(task.parent)) found.add(task.key);
  return found;
}
