import * as vscode from 'vscode';
import type { Middleware } from 'vscode-languageclient/node';
import type { Agent, Costs, Done, Question, Review, Run, RunEvent, Spec, Started } from '../protocol';
import type { RunStore } from '../runs/store';

/** How a server is started; found by `Finder`. */
export interface Launch {
  command: string;
  args: string[];
  /** What is added to the environment of the window. */
  env?: Record<string, string>;
  /** The server's own version, where it is known before it runs. */
  version?: string;
  /** Where it was found, for people: "the setting", "the selected Python interpreter". */
  from: string;
}

export type ServerState = 'stopped' | 'finding' | 'starting' | 'running' | 'failed';

/** Those who answer what the server asks. Each is set once, at activation; without one the answer is a refusal. */
export interface Answers {
  /**
   * `null` is a no. So the promise is kept while the person has not decided, however often they close the prompt, and is
   * settled when the server takes its request back, because `kiroLsp.answer` came from this window or from elsewhere.
   */
  permission?: (
    question: Question,
    cancelled: vscode.CancellationToken,
  ) => Promise<{ option: string; text?: string } | null>;
  input?: (title: string, runId?: string) => Promise<string | null>;
  secret?: (name: string) => Promise<string | null>;
}

/** The answer of the server's commands by name; what is not named answers `Done`. */
interface Commands {
  runTask: Started;
  retryRun: Started;
  followUp: Started;
  repairRun: Started;
  pickAgent: Started;
  applyFromClipboard: Started;
  trustWorkspace: {
    state: 'untrusted' | 'once' | 'trusted';
    digest: string;
    values: { key: string; value: unknown; source: string }[];
  };
  continueInTerminal: Done & { command: string[]; cwd: string };
}

/**
 * The one conversation with the server, begun when something needs it and not before. Faces ask here and are told through
 * its events; none of them sees the language client itself.
 */
export interface Server {
  readonly state: ServerState;
  /** Why it is `failed`, in a sentence for people. */
  readonly problem: string | undefined;
  /** What was started, once it is known. */
  readonly launch: Launch | undefined;
  readonly answers: Answers;
  readonly onDidChangeState: vscode.Event<ServerState>;
  readonly onRunEvent: vscode.Event<RunEvent>;
  readonly onReviewChanged: vscode.Event<{ runId: string; revision: number }>;
  readonly onRunsChanged: vscode.Event<void>;
  /** The server was told the settings, at its start or since some have changed. */
  readonly onSettingsTold: vscode.Event<void>;
  /** A Markdown file of the open folders has changed on the disk: by the server itself, or by another program. */
  readonly onDidChangeFile: vscode.Event<vscode.Uri>;
  /** Starts the server where it does not run yet; throws where it cannot. */
  start(): Promise<void>;
  stop(): Promise<void>;
  restart(): Promise<void>;
  /** Sends `kiroLsp.NAME`; starts the server where it does not run yet. Throws what the server says. */
  command<Name extends string>(
    name: Name,
    argument: object,
  ): Promise<Name extends keyof Commands ? Commands[Name] : Done>;
  review(runId: string): Promise<Review>;
  content(uri: string): Promise<{ text: string; languageId: string }>;
  /** `onto` is what the file holds where the person merged the proposal with that. */
  editProposed(runId: string, path: string, text: string, onto?: string): Promise<Review>;
  follow(runId: string, since: number): Promise<{ events: RunEvent[]; lastSeq: number }>;
  runs(root?: string): Promise<Run[]>;
  /** The task files of the open projects; with a URI that file alone, with its tasks. URIs are spelled as the editor does. */
  specs(uri?: string): Promise<Spec[]>;
  agents(uri?: string, task?: string): Promise<Agent[]>;
  costs(by: 'day' | 'agent' | 'spec' | 'task'): Promise<Costs>;
  /** Has the server look anew at keys and agents, where it runs; a start does so anyway. */
  lookAgain(): void;
  /** Ends a progress that the server began, as the person's Cancel. */
  cancelProgress(token: string | number): void;
}

/** What features add to the language client: who sees a command before the server does, and progress. */
export interface Hooks {
  /**
   * Carries a command of a lens out in the client, in place of the server. Returns `undefined` to pass it on.
   * @param argument the object that the lens carries, or the empty object when it was called bare
   */
  command?: (name: string, argument: Record<string, unknown>) => Promise<unknown> | undefined;
  progress?: NonNullable<Middleware['handleWorkDoneProgress']>;
}

/** Everything that features share; made once at activation. */
export interface App {
  readonly context: vscode.ExtensionContext;
  readonly server: Server;
  /** All runs as they are now. */
  readonly runs: RunStore;
  readonly log: vscode.LogOutputChannel;
  /** Hooks of all features, asked in order of registration. */
  readonly hooks: Hooks[];
}
