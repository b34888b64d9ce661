/**
 * What is known of a run: its record (`kiro/runs`) and what its events said since. Pure: every change is a new object, so
 * whoever keeps one sees what was before it. Shared by status bar, notifications, tree and output.
 */
import type { Billing, Question, Run, RunEvent, RunState } from '../protocol';

/** An agent's call of a tool, the latest of those that are not done. */
export interface Tool {
  id: string;
  kind: string;
  title: string;
  path: string | undefined;
  status: string;
}

export interface Used {
  inputTokens: number;
  outputTokens: number;
  cachedTokens: number;
  /** A decimal string in US dollars, `null` where it is unknown. */
  cost: string | null;
  billing: Billing;
  turns: number;
}

export interface Verified {
  command: string;
  /** `null` while the command runs. */
  ok: boolean | null;
  summary: string;
}

export interface LiveRun {
  readonly runId: string;
  /** The number of the last event that is in here; 0 where only the record is known. */
  readonly seq: number;
  readonly root: string;
  /** The task file, relative to the root; empty for a pasted answer. */
  readonly path: string;
  readonly task: string;
  readonly title: string;
  /** The agent's name in settings, and the one for people. */
  readonly agent: string;
  readonly label: string;
  readonly way: string;
  readonly model: string | null;
  readonly state: RunState;
  readonly startedAt: string;
  readonly endedAt: string | null;
  /** One of the words people see (`thinking`, `editing` …) and what it is about; empty before the first. */
  readonly phase: string;
  readonly phaseDetail: string;
  readonly tool: Tool | undefined;
  /** Paths that are changed, in order of their first change; how many there are is `fileCount`, which a record knows, too. */
  readonly files: readonly string[];
  readonly fileCount: number;
  readonly question: Question | undefined;
  readonly used: Used | undefined;
  readonly verified: Verified | undefined;
  readonly error: { kind: string; message: string; hint: string } | undefined;
  readonly summary: string;
  readonly replay: boolean;
  readonly continues: string | null;
  /** The run whose review holds this one's changes, too. */
  readonly supersededBy: string | null;
}

const LIVE: readonly RunState[] = ['queued', 'running', 'waiting', 'verifying', 'applying'];
const ENDED: readonly RunState[] = ['failed', 'cancelled', 'budget', 'interrupted'];

/** Whether somebody is at work on it; one that verifies is under review already. */
export function isLive(run: LiveRun): boolean {
  return LIVE.includes(run.state);
}

/** Whether its agent works on or waits, so that it can be stopped. */
export function isRunning(run: LiveRun): boolean {
  return run.state === 'queued' || run.state === 'running' || run.state === 'waiting';
}

/** Whether it stands still until the person has answered. */
export function isAsking(run: LiveRun): run is LiveRun & { question: Question } {
  return run.state === 'waiting' && run.question !== undefined;
}

/**
 * Whether there is a review to decide on. A run that goes on from it holds its changes, too, until that one is rejected, or
 * ends with nothing.
 * @param find the run of an id, where it is known
 */
export function isReviewable(run: LiveRun, find: (runId: string) => LiveRun | undefined = () => undefined): boolean {
  const later = run.supersededBy === null ? undefined : find(run.supersededBy);
  const gaveBack = later && (later.state === 'rejected' || (isCutOff(later) && later.fileCount === 0));
  if (run.supersededBy !== null && !gaveBack) return false;
  if (run.state === 'review' || run.state === 'conflict' || run.state === 'verifying') return true;
  return ENDED.includes(run.state) && run.fileCount > 0;
}

/** Whether it ended without coming to its end. */
export function isCutOff(run: LiveRun): boolean {
  return ENDED.includes(run.state);
}

/** A run of which nothing but its id is known. */
export function unknownRun(runId: string): LiveRun {
  return {
    runId,
    seq: 0,
    root: '',
    path: '',
    task: '',
    title: '',
    agent: '',
    label: '',
    way: '',
    model: null,
    state: 'queued',
    startedAt: '',
    endedAt: null,
    phase: '',
    phaseDetail: '',
    tool: undefined,
    files: [],
    fileCount: 0,
    question: undefined,
    used: undefined,
    verified: undefined,
    error: undefined,
    summary: '',
    replay: false,
    continues: null,
    supersededBy: null,
  };
}

/**
 * The run with what its record says. Who and what it is comes from the record; how far it is only with `state`: a record that
 * was asked for before the last event came says less than that event.
 */
export function withRecord(run: LiveRun, record: Run, state: boolean): LiveRun {
  const files = typeof record.files === 'number' ? record.files : record.files.length;
  const known = {
    ...run,
    root: record.root,
    path: record.path,
    task: record.task,
    title: record.title,
    agent: record.agent,
    label: record.label ?? (run.label || record.agent),
    way: record.way,
    model: record.model,
    startedAt: record.startedAt,
    replay: record.replay,
    continues: record.continues,
    used: run.used ?? usedOf(record),
  };
  if (!state) return known;
  const fileCount = Math.max(files, run.files.length);
  const question = record.state === 'waiting' ? run.question : undefined;
  return { ...known, state: record.state, endedAt: record.endedAt, fileCount, question };
}

function usedOf(record: Run): Used | undefined {
  if (record.billing === null) return undefined;
  return {
    inputTokens: record.inputTokens ?? 0,
    outputTokens: record.outputTokens ?? 0,
    cachedTokens: record.cachedTokens ?? 0,
    cost: record.cost,
    billing: record.billing,
    turns: record.turns ?? 0,
  };
}

/** Where an event stands to what is known: the next one, one that was seen, or one before which others are missing. */
export function place(seq: number, event: RunEvent): 'next' | 'seen' | 'gap' {
  return event.seq <= seq ? 'seen' : event.seq === seq + 1 ? 'next' : 'gap';
}

/** The run after an event. One that was seen before changes nothing; kinds that are not known are passed over. */
export function fold(run: LiveRun, event: RunEvent): LiveRun {
  if (event.seq <= run.seq) return run;
  return { ...run, ...said(run, event), seq: event.seq };
}

function said(run: LiveRun, event: RunEvent): Partial<LiveRun> {
  switch (event.type) {
    case 'start': {
      const { agent, way, model } = event;
      const started = run.startedAt === '' ? event.at : run.startedAt;
      const label = run.agent === agent && run.label !== '' ? run.label : agent;
      return { agent, label, way, model, startedAt: started, continues: event.continues ?? run.continues };
    }
    case 'state': {
      const over = !LIVE.includes(event.to) && LIVE.includes(event.from);
      const ended = over ? { endedAt: event.at, tool: undefined, phase: '', phaseDetail: '' } : {};
      return { state: event.to, ...(event.to === 'waiting' ? {} : { question: undefined }), ...ended };
    }
    case 'phase':
      return { phase: event.phase, phaseDetail: event.detail ?? '' };
    case 'tool':
      return tool(run, event);
    case 'file': {
      const files = run.files.includes(event.path) ? run.files : [...run.files, event.path];
      return { files, fileCount: files.length };
    }
    case 'permission':
      return { question: asked(event) };
    case 'answer':
      return run.question?.requestId === event.requestId ? { question: undefined } : {};
    case 'usage': {
      const { inputTokens, outputTokens, cachedTokens, cost, billing } = event;
      const turns = event.turns ?? run.used?.turns ?? 0;
      return { used: { inputTokens, outputTokens, cachedTokens, cost, billing, turns } };
    }
    default:
      return outcome(event);
  }
}

/** What is said at the end of a run, and after it. */
function outcome(event: RunEvent): Partial<LiveRun> {
  switch (event.type) {
    case 'verifying':
      return { verified: { command: line(event.command), ok: null, summary: '' } };
    case 'verify':
      return { verified: { command: line(event.command), ok: event.ok, summary: event.summary } };
    case 'complete':
      return { files: event.filesChanged, fileCount: event.filesChanged.length, summary: event.summary };
    case 'error':
      return { error: { kind: event.kind, message: event.message, hint: event.hint } };
    case 'superseded':
      return { supersededBy: event.by };
    case 'review':
      return typeof event.filesChanged === 'number'
        ? { fileCount: event.filesChanged }
        : { files: event.filesChanged, fileCount: event.filesChanged.length };
    default:
      return {};
  }
}

function tool(run: LiveRun, event: RunEvent & { type: 'tool' }): Partial<LiveRun> {
  if (event.status === 'pending' || event.status === 'in_progress') {
    const { id, kind, title, path, status } = event;
    return { tool: { id, kind, title, path, status } };
  }
  return run.tool?.id === event.id ? { tool: undefined } : {};
}

function asked(event: RunEvent & { type: 'permission' }): Question {
  const { runId, requestId, kind, title, options } = event;
  return {
    runId,
    requestId,
    kind,
    title,
    options,
    ...(event.detail ? { detail: event.detail } : {}),
    ...(event.words ? { words: true } : {}),
  };
}

function line(command: string[] | string): string {
  return typeof command === 'string' ? command : command.join(' ');
}

// In front of people

/** An amount as lenses show it: `$0.03`, and what is less than a cent as that. Throws nothing; no number shows as it is. */
export function dollars(cost: string): string {
  const amount = Number(cost);
  if (!Number.isFinite(amount)) return cost;
  return amount > 0 && amount < 0.01 ? '<$0.01' : `$${amount.toFixed(2)}`;
}

/** Seconds since the run began, or how long it took; 0 where that is not known. `now` is in milliseconds. */
export function seconds(run: LiveRun, now: number): number {
  const from = Date.parse(run.startedAt);
  const to = run.endedAt === null ? now : Date.parse(run.endedAt);
  return Number.isNaN(from) || Number.isNaN(to) ? 0 : Math.max(0, Math.floor((to - from) / 1000));
}

/** What is going on, all runs together. */
export interface Tally {
  running: number;
  asking: number;
  reviews: number;
}

/** Counts runs; one that verifies is running and not yet to be reviewed. */
export function tally(runs: ReadonlyMap<string, LiveRun>): Tally {
  const counted = { running: 0, asking: 0, reviews: 0 };
  for (const run of runs.values()) {
    if (isAsking(run)) counted.asking += 1;
    else if (isLive(run)) counted.running += 1;
    else if (isReviewable(run, (runId) => runs.get(runId))) counted.reviews += 1;
  }
  return counted;
}

/**
 * The runs of folders that are not open any more. One that is live stays until it is over, since it goes on telling of itself.
 * @param foundIn by run, where its record was listed last
 */
export function leftBehind(
  runs: Iterable<LiveRun>,
  foundIn: ReadonlyMap<string, string>,
  closed: ReadonlySet<string>,
): LiveRun[] {
  return [...runs].filter((run) => !isLive(run) && closed.has(foundIn.get(run.runId) ?? ''));
}

/** What the costs of a day depend on: while it is the same they are, too. */
export function spendingOf(runs: Iterable<LiveRun>, day: string): string {
  return [day, ...[...runs].map(({ runId, used }) => `${runId} ${used?.cost ?? '?'} ${used?.turns ?? 0}`)].join();
}

/** Newest first; runs without a known beginning stand before all others, since they have just begun. */
export function newestFirst(runs: Iterable<LiveRun>): LiveRun[] {
  const key = (run: LiveRun): string => run.startedAt || '~';
  return [...runs].sort((a, b) => (key(a) < key(b) ? 1 : key(a) > key(b) ? -1 : 0));
}
