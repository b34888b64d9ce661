/**
 * What passes between this client and the server beyond plain LSP, as docs/protocol.md has it. Money is a decimal string in
 * US dollars; `null` is "unknown". Lines and characters are 0-based, ranges are whole lines. Nothing here is logic.
 */
import type { Range } from 'vscode-languageclient';

export type RunState =
  | 'queued'
  | 'running'
  | 'waiting'
  | 'verifying'
  | 'review'
  | 'applying'
  | 'applied'
  | 'rejected'
  | 'conflict'
  | 'undone'
  | 'failed'
  | 'cancelled'
  | 'budget'
  | 'interrupted';

export type Billing = 'metered' | 'subscription' | 'local';

/** What the server may ask or tell this client; sent as `initializationOptions.kiro`. */
export const UNDERSTOOD = [
  'kiro/review',
  'kiro/secret',
  'kiro/permission',
  'kiro/input',
  'kiro/save',
  'kiro/settings',
  'kiro/runEvent',
  'kiro/reviewChanged',
  'kiro/runsChanged',
] as const;

export interface Choice {
  id: string;
  label: string;
  kind: 'allow-once' | 'allow-run' | 'allow-always' | 'deny';
}

export interface Question {
  runId: string;
  requestId: string;
  /** `consent`, `command`, `tool`, `elicitation` and others. */
  kind: string;
  title: string;
  detail?: { argv?: string[]; cwd?: string; env?: Record<string, string>; digest?: string } & Record<string, unknown>;
  options: Choice[];
  /** An answer in words is asked for. */
  words?: boolean;
}

export interface Hunk {
  id: string;
  status: 'pending' | 'accepted' | 'rejected';
  baseRange: Range;
  proposedRange: Range;
  protected: boolean;
  mine: boolean;
  /** Where it is in the texts of its file's `now`, and whether it meets what somebody else changed there. */
  now?: { baseRange: Range; proposedRange: Range; conflict: boolean };
}

export interface ReviewFile {
  path: string;
  uri: string;
  action: 'create' | 'modify' | 'delete' | 'rename';
  to?: string;
  mode?: string;
  binary: boolean;
  status: string;
  baseUri: string;
  proposedUri: string;
  conflict?: string;
  /** The file is not any more what its change starts from: what is compared then, and why an accept cannot write it. */
  now?: { baseUri?: string; proposedUri?: string; conflict?: string };
  hunks: Hunk[];
}

export interface Verdict {
  command: string[];
  /** `null` while it runs, and where it was stopped. */
  ok: boolean | null;
  seconds: number;
  summary: string;
  revision: number;
  running: boolean;
  outdated: boolean;
}

export interface Review {
  runId: string;
  revision: number;
  state: RunState;
  verify: Verdict | null;
  cost: string | null;
  files: ReviewFile[];
}

export interface Run {
  runId: string;
  root: string;
  path: string;
  task: string;
  title: string;
  agent: string;
  /** The agent's name for people. */
  label?: string;
  way: string;
  model: string | null;
  state: RunState;
  startedAt: string;
  endedAt: string | null;
  cost: string | null;
  inputTokens?: number;
  outputTokens?: number;
  cachedTokens?: number;
  turns?: number;
  billing: Billing | null;
  files: string[] | number;
  replay: boolean;
  continues: string | null;
  owner: unknown;
}

/** A task file of an open project; `tasks` only where one file was asked for. */
export interface Spec {
  root: string;
  path: string;
  uri: string;
  name: string;
  dialect: string;
  total: number;
  done: number;
  tasks?: SpecTask[];
}

export interface SpecTask {
  key: string;
  id: string | null;
  title: string;
  status: string;
  /** 0-based. */
  line: number;
  depth: number;
  parent: string | null;
}

export interface Agent {
  name: string;
  label: string;
  type: string;
  way: string;
  model: string | null;
  available: boolean;
  reason: string;
  version: string | null;
  /** What a plain click on the task uses; `why` is the reason for it, where a task was named. */
  recommended: boolean;
  why?: string | null;
  /** About what the task costs, in US dollars. */
  estimate: string | null;
  billing: Billing;
  ways: {
    type: string;
    way: string;
    command: string | null;
    available: boolean;
    reason: string;
    version: string | null;
    inUse: boolean;
    /** The command by which a person logs in to the program. */
    login: string[] | null;
    /** The variable of the key that it is used with. */
    key: string | null;
  }[];
}

export interface Costs {
  day: string;
  spent: string;
  reserved: string;
  unknown: number;
  cap: string;
  warnAt: string;
  capRun: string;
  rows: {
    key: string;
    runs: number;
    inputTokens: number;
    outputTokens: number;
    cachedTokens: number;
    cost: string | null;
    unknown: number;
  }[];
}

/** The answer of commands that start a run. */
export interface Started {
  runId: string | null;
  refused?: { code: string; message: string; digest?: string };
  ok?: boolean;
}

/** The answer of the other commands; those that settle a review have the fields below `message`, too. */
export interface Done {
  ok: boolean;
  message?: string;
  state?: RunState;
  files?: string[];
  conflicts?: string[];
  merged?: string[];
  ticked?: boolean;
}

interface Sent {
  runId: string;
  /** 1, 2, … for each run. */
  seq: number;
  /** RFC 3339, UTC. */
  at: string;
}

/** An event of a run; see the table of docs/protocol.md. Kinds that are not listed here are to be passed over. */
export type RunEvent = Sent &
  (
    | {
        type: 'start';
        agent: string;
        way: string;
        model: string | null;
        task: string;
        reason: string;
        continues?: string;
        comment?: string;
      }
    | { type: 'session'; sessionId: string }
    | { type: 'state'; from: RunState; to: RunState; reason?: string }
    | { type: 'isolation'; level: string; network: string }
    | { type: 'phase'; phase: string; detail?: string }
    | { type: 'chunk' | 'thought'; text: string }
    | { type: 'plan'; entries: { text: string; status: string }[] }
    | { type: 'tool'; id: string; kind: string; title: string; path?: string; status: string; output?: string }
    | { type: 'file'; action: ReviewFile['action']; path: string; to?: string }
    | ({ type: 'permission' } & Omit<Question, 'runId'>)
    | { type: 'answer'; requestId: string; option: string; by: string; text?: string }
    | {
        type: 'usage';
        inputTokens: number;
        outputTokens: number;
        cachedTokens: number;
        cost: string | null;
        billing: Billing;
        turns?: number;
      }
    | { type: 'warning'; kind: string; message: string; hint: string }
    | { type: 'verifying'; command: string[] | string }
    | {
        type: 'verify';
        command: string[] | string;
        ok: boolean | null;
        seconds: number;
        summary: string;
        revision?: number;
      }
    | { type: 'review'; filesChanged: string[] | number }
    | {
        type: 'complete';
        filesChanged: string[];
        filesCreated: number;
        filesModified: number;
        filesDeleted: number;
        testsAdded: number;
        summary: string;
      }
    | { type: 'error'; kind: string; message: string; hint: string }
    | { type: 'cancelled' }
    | { type: 'applied'; files: string[]; partial: boolean; ticked: boolean; merged?: string[]; verified?: boolean }
    | { type: 'rejected'; files: string[]; hunks: string[] }
    | { type: 'conflict'; files: string[]; reasons?: string[] }
    | { type: 'undone'; files: string[] }
    | { type: 'superseded'; by: string }
  );
