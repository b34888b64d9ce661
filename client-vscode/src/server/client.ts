import * as vscode from 'vscode';
import type { LanguageClient, LanguageClientOptions, ServerOptions } from 'vscode-languageclient/node';
import type { Agent, Costs, Question, Review, Run, RunEvent, Spec } from '../protocol';
import { UNDERSTOOD } from '../protocol';
import { Endings } from '../model/endings';
import { Restarts } from '../model/restarts';
import type { Answers, Hooks, Launch, Server, ServerState } from './connection';
import { tellUnsaved } from './unsaved';
import { givenSettings, onDidChangeServerSettings } from './settings';

const PREFIX = 'kiroLsp.';

/** Documents that the server knows: task files by name, and what lies in the folders of the spec tools. */
export const DOCUMENTS = [
  '**/{[tT][aA][sS][kK][sS],[tT][oO][dD][oO],[tT][oO][dD][oO][sS],task-list,task_list,tasklist}.{md,markdown}',
  '**/{.kiro,.spec-workflow,.specify,specs,openspec,kitty-specs,tickets}/**/*.md',
  '**/.claude/specs/**/*.md',
  '**/backlog/{tasks,drafts}/*.md',
].map((pattern) => ({ scheme: 'file', language: 'markdown', pattern }));

/** Finds the program to start, or throws with a sentence for people. */
export type Finder = () => Promise<Launch>;

/** The language client, made at the first need; see `Server`. */
export class Connection implements Server, vscode.Disposable {
  state: ServerState = 'stopped';
  problem: string | undefined;
  launch: Launch | undefined;
  readonly answers: Answers = {};

  private readonly states = new vscode.EventEmitter<ServerState>();
  private readonly events = new vscode.EventEmitter<RunEvent>();
  private readonly reviews = new vscode.EventEmitter<{ runId: string; revision: number }>();
  private readonly lists = new vscode.EventEmitter<void>();
  private readonly told = new vscode.EventEmitter<void>();
  private readonly files = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChangeState = this.states.event;
  readonly onRunEvent = this.events.event;
  readonly onReviewChanged = this.reviews.event;
  readonly onRunsChanged = this.lists.event;
  readonly onSettingsTold = this.told.event;
  readonly onDidChangeFile = this.files.event;

  private readonly disk = vscode.workspace.createFileSystemWatcher('**/*.{md,markdown,mdx}');
  private readonly settingsWatch: vscode.Disposable;
  private readonly restarts = new Restarts();
  private client: LanguageClient | undefined;
  private starting: Promise<void> | undefined;
  /** Stops on request. */
  private readonly stops = new Endings();
  private unsaved: vscode.Disposable | undefined;

  constructor(
    private readonly find: Finder,
    private readonly hooks: readonly Hooks[],
    private readonly log: vscode.LogOutputChannel,
  ) {
    for (const changed of [this.disk.onDidChange, this.disk.onDidCreate, this.disk.onDidDelete])
      changed((uri) => this.files.fire(uri));
    // Without settings in it: the server then asks for them.
    this.settingsWatch = onDidChangeServerSettings(() => {
      const told = this.client?.sendNotification('workspace/didChangeConfiguration', { settings: null });
      told?.catch((error: unknown) => this.log.debug(`settings: ${String(error)}`));
    });
  }

  async start(): Promise<void> {
    if (this.state === 'running') return;
    await (this.starting ?? this.begin());
  }

  async stop(): Promise<void> {
    await this.end();
  }

  async restart(): Promise<void> {
    this.restarts.forget();
    if (await this.end()) await this.start();
  }

  async command<T>(name: string, argument: object): Promise<T> {
    return await this.ask<T>('workspace/executeCommand', { command: PREFIX + name, arguments: [argument] });
  }

  review(runId: string): Promise<Review> {
    return this.ask('kiro/review', { runId });
  }

  content(uri: string): Promise<{ text: string; languageId: string }> {
    return this.ask('kiro/reviewContent', { uri });
  }

  editProposed(runId: string, path: string, text: string, onto?: string): Promise<Review> {
    return this.ask('kiro/reviewEdit', { runId, path, text, ...(onto === undefined ? {} : { onto }) });
  }

  follow(runId: string, since: number): Promise<{ events: RunEvent[]; lastSeq: number }> {
    return this.ask('kiro/follow', { runId, since });
  }

  runs(root?: string): Promise<Run[]> {
    return this.ask('kiro/runs', root === undefined ? {} : { root });
  }

  async specs(uri?: string): Promise<Spec[]> {
    const specs = await this.ask<Spec[]>('kiro/specs', uri === undefined ? {} : { uri });
    // Of a file that is not open the server spells the URI its own way.
    return specs.map((spec) => ({ ...spec, uri: vscode.Uri.parse(spec.uri).toString() }));
  }

  agents(uri?: string, task?: string): Promise<Agent[]> {
    return this.ask('kiro/agents', { ...(uri === undefined ? {} : { uri }), ...(task === undefined ? {} : { task }) });
  }

  costs(by: 'day' | 'agent' | 'spec' | 'task'): Promise<Costs> {
    return this.ask('kiro/costs', { by });
  }

  lookAgain(): void {
    if (this.state === 'running') void this.client?.sendNotification('kiro/lookAgain', {});
  }

  cancelProgress(token: string | number): void {
    void this.client?.sendNotification('window/workDoneProgress/cancel', { token });
  }

  dispose(): void {
    void this.stop();
    this.unsaved?.dispose();
    this.disk.dispose();
    this.settingsWatch.dispose();
    for (const emitter of [this.states, this.events, this.reviews, this.lists, this.told, this.files])
      emitter.dispose();
  }

  private async ask<T>(method: string, parameters: object): Promise<T> {
    await this.start();
    if (!this.client) throw new Error(this.problem ?? vscode.l10n.t('The language server of Kiro LSP does not run.'));
    return await this.client.sendRequest<T>(method, parameters);
  }

  /** @returns whether nobody else has asked for an end since, so that of several restarts at once one starts it again */
  private async end(): Promise<boolean> {
    const { client, starting } = this;
    this.client = this.starting = undefined;
    this.unsaved?.dispose();
    const isLast = await this.stops.end(client && this.ended(client, starting));
    if (isLast) this.become('stopped');
    return isLast;
  }

  private async ended(client: LanguageClient, starting: Promise<void> | undefined): Promise<void> {
    await client.dispose(5000).catch((error: unknown) => this.log.warn(`stopping: ${String(error)}`));
    // One that was about to start ends a little later; two would register the same commands.
    await starting?.catch(() => undefined);
  }

  private become(state: ServerState, problem?: string): void {
    this.state = state;
    this.problem = problem;
    this.states.fire(state);
  }

  /** Starts a server, or once more the one that is known, and keeps the promise in `starting`. */
  private begin(known?: Launch): Promise<void> {
    const starting = this.launched(known).finally(() => {
      if (this.starting === starting) this.starting = undefined;
    });
    return (this.starting = starting);
  }

  private async launched(known?: Launch): Promise<void> {
    const before = this.stops.count;
    try {
      await this.stops.over();
      const isWanted = (): boolean => before === this.stops.count;
      if (!known && isWanted()) this.become('finding');
      const launch = known ?? (isWanted() ? await this.find() : undefined);
      if (launch && isWanted()) await this.connect(launch);
      if (!isWanted()) throw new Error(vscode.l10n.t('The language server of Kiro LSP does not run.'));
    } catch (error) {
      if (before === this.stops.count) {
        this.client = undefined;
        if (!known) this.become('failed', error instanceof Error ? error.message : String(error));
      }
      throw error;
    }
  }

  private async connect(launch: Launch): Promise<void> {
    const before = this.stops.count;
    this.launch = launch;
    this.become('starting');
    this.log.info(`starting ${[launch.command, ...launch.args].join(' ')} (${launch.from})`);
    // As large as everything else together, so it is loaded with the first server and not with the window.
    const { LanguageClient, State, CloseAction, ErrorAction } = await import('vscode-languageclient/node');
    if (before !== this.stops.count) return;
    /** Its own words would be pop-ups besides ours: what is wrong with the connection is told from `failed`. */
    class Client extends LanguageClient {
      override error(message: string, data?: unknown, shown?: boolean | 'force'): void {
        const { code = 0 } = (data ?? {}) as { code?: number };
        // The codes of a request that could not be sent, or not be answered, since there is no connection any more.
        const isOfConnection = shown === 'force' || (code >= -32099 && code <= -32096);
        super.error(message, data, isOfConnection ? false : shown);
      }
    }
    const client = (this.client = new Client('kiroLsp', 'Kiro LSP', served(launch), {
      ...this.options(),
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue }),
        // It could start itself again, and is lost where that fails.
        closed: () => ({ action: CloseAction.DoNotRestart, handled: true }),
      },
      initializationFailedHandler: () => false,
    }));
    client.onDidChangeState(({ newState }) => {
      if (this.client !== client) return;
      this.unsaved?.dispose();
      if (newState === State.Stopped && this.state === 'running') void this.startAgain(launch);
      if (newState !== State.Running) return;
      this.unsaved = tellUnsaved(
        (method, parameters) => void client.sendNotification(method, parameters).catch(() => undefined),
        (document) => DOCUMENTS.some((filter) => vscode.languages.match(filter, document) > 0),
      );
    });
    this.answer(client);
    await client.start();
    if (this.client !== client) {
      await client.dispose(5000);
      return;
    }
    if (!client.isRunning()) throw new Error(vscode.l10n.t('The language server of Kiro LSP does not run.'));
    const version = client.initializeResult?.serverInfo?.version;
    if (version !== undefined) this.launch = { ...launch, version };
    this.become('running');
  }

  /** The server has ended by itself: it is started again, and where it ends meanwhile once more, unless it does so too often. */
  private async startAgain(launch: Launch): Promise<void> {
    const before = this.stops.count;
    this.client = undefined;
    this.log.warn('the server has ended by itself');
    while (this.restarts.again(Date.now())) {
      try {
        await (this.starting ?? this.begin(launch));
        return;
      } catch (error) {
        if (before !== this.stops.count) return;
        this.log.warn(`starting again: ${String(error)}`);
      }
    }
    this.become('failed', vscode.l10n.t('It has ended by itself several times within minutes.'));
  }

  private options(): LanguageClientOptions {
    return {
      documentSelector: DOCUMENTS,
      outputChannel: this.log,
      // What it has read of files that are not open is good until then, or for a while.
      synchronize: { fileEvents: this.disk },
      initializationOptions: {
        kiro: [...UNDERSTOOD],
        trusted: vscode.workspace.isTrusted,
        ...givenSettings(),
      },
      markdown: { isTrusted: false, supportHtml: false },
      middleware: {
        executeCommand: async (command, args, next) => {
          const given: unknown = args[0];
          const argument = given !== null && typeof given === 'object' ? (given as Record<string, unknown>) : {};
          for (const hook of this.hooks) {
            const done = hook.command?.(command.slice(PREFIX.length), argument);
            if (done) return await done;
          }
          return (await next(command, args)) as unknown;
        },
        handleWorkDoneProgress: (token, parameters, next) => {
          const hook = this.hooks.find((one) => one.progress);
          if (hook?.progress) hook.progress(token, parameters, next);
          else next(token, parameters);
        },
      },
    };
  }

  /** What the server asks and tells; set before the start, since it asks for keys at once. */
  private answer(client: LanguageClient): void {
    client.onNotification('kiro/runEvent', ({ event }: { event: RunEvent }) => this.events.fire(event));
    client.onNotification('kiro/reviewChanged', (changed: { runId: string; revision: number }) =>
      this.reviews.fire(changed),
    );
    client.onNotification('kiro/runsChanged', () => this.lists.fire());
    client.onRequest(
      'kiro/permission',
      (question: Question, cancelled: vscode.CancellationToken) =>
        this.answers.permission?.(question, cancelled) ?? null,
    );
    client.onRequest('kiro/input', async ({ title, runId }: { title: string; runId?: string }) => ({
      text: (await this.answers.input?.(title, runId)) ?? null,
    }));
    client.onRequest('kiro/secret', async ({ name }: { name: string }) => ({
      value: (await this.answers.secret?.(name)) ?? null,
    }));
    client.onRequest('kiro/settings', () => {
      setImmediate(() => this.told.fire()); // the answer goes before what is asked then
      return givenSettings();
    });
    client.onRequest('kiro/save', async ({ uris }: { uris: string[] }) => ({ uris: await saved(uris) }));
  }
}

function served(launch: Launch): ServerOptions {
  return {
    command: launch.command,
    args: [...launch.args, '--stdio'],
    options: { env: { ...process.env, ...launch.env } },
  };
}

/** Saves those of the documents that are open; answers with those that are saved now. */
async function saved(uris: string[]): Promise<string[]> {
  const done: string[] = [];
  for (const document of vscode.workspace.textDocuments) {
    const uri = uris.find((one) => vscode.Uri.parse(one).toString() === document.uri.toString());
    if (uri !== undefined && (!document.isDirty || (await document.save()))) done.push(uri);
  }
  return done;
}
