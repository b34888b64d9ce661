import * as vscode from 'vscode';
import { fold, isLive, leftBehind, newestFirst, place, tally, unknownRun, withRecord } from '../model/runs';
import type { LiveRun, Tally } from '../model/runs';
import type { RunEvent } from '../protocol';
import type { Server } from '../server/connection';

/** Faces are told at most so often; what happened meanwhile comes as one change for each run. */
const TOLD_MS = 50;
/** A list is asked for once for all that happens within this time. */
const LISTED_MS = 300;

export interface Change {
  /** As it was told last; `undefined` for a run that was not known. */
  before: LiveRun | undefined;
  after: LiveRun;
  /** Whether it happened while this window looked on, and was not found in the record. */
  live: boolean;
}

/**
 * All runs of the open projects as they are now: the records, and what events said since. It asks nothing of a server that
 * does not run.
 */
export class RunStore implements vscode.Disposable {
  private readonly known = new Map<string, LiveRun>();
  private readonly changes = new Map<string, Change>();
  /** Events that came while those before them were asked for. */
  private readonly held = new Map<string, RunEvent[]>();
  /** Where the record of a run was listed last, and the folders that are not open any more. */
  private readonly foundIn = new Map<string, string>();
  private readonly closed = new Set<string>();
  private readonly changed = new vscode.EventEmitter<readonly Change[]>();
  private readonly subscriptions: { dispose(): unknown }[];
  private telling: NodeJS.Timeout | undefined;
  private listing: NodeJS.Timeout | undefined;

  /** Told after every change of a run, and with nothing when the server or the runs of a folder have gone or come. */
  readonly onDidChange = this.changed.event;

  constructor(
    private readonly server: Server,
    private readonly log: vscode.LogOutputChannel,
  ) {
    this.subscriptions = [
      this.changed,
      server.onRunEvent((event) => this.take(event)),
      server.onRunsChanged(() => this.listSoon()),
      server.onDidChangeState((state) => {
        if (state === 'running') this.listSoon();
        this.changed.fire([]);
      }),
      vscode.workspace.onDidChangeWorkspaceFolders(({ added, removed }) => {
        for (const { uri } of removed) this.closed.add(uri.toString());
        for (const { uri } of added) this.closed.delete(uri.toString());
        this.listSoon();
      }),
    ];
  }

  get(runId: string): LiveRun | undefined {
    return this.known.get(runId);
  }

  /** Newest first. */
  all(): LiveRun[] {
    return newestFirst(this.known.values());
  }

  /** What is going on; nothing is while no server runs. */
  tally(): Tally {
    return this.server.state === 'running' ? tally(this.known) : { running: 0, asking: 0, reviews: 0 };
  }

  /** Reads the records of the open projects. Starts the server where it does not run yet; throws where it cannot. */
  async refresh(): Promise<void> {
    clearTimeout(this.listing);
    this.listing = undefined;
    const seen = new Map([...this.known].map(([runId, run]) => [runId, run.seq]));
    for (const root of places()) {
      for (const record of await this.server.runs(root)) {
        this.foundIn.set(record.runId, root);
        const before = this.known.get(record.runId);
        const state = before === undefined || before.seq === seen.get(record.runId);
        const run = withRecord(before ?? unknownRun(record.runId), record, state);
        this.put(run, false);
        if (run.seq === 0 && isLive(run)) void this.catchUp(record.runId);
      }
    }
    this.leave();
  }

  /** Forgets the runs of folders that are not open any more. */
  private leave(): void {
    const gone = leftBehind(this.known.values(), this.foundIn, this.closed);
    for (const { runId } of gone) {
      for (const runs of [this.known, this.changes, this.foundIn]) runs.delete(runId);
    }
    if (gone.length > 0) this.changed.fire([]);
  }

  /** The run with all that its events say; asks for those that are missing. */
  async catchUp(runId: string): Promise<LiveRun | undefined> {
    if (this.held.has(runId)) return this.known.get(runId);
    const held: RunEvent[] = [];
    this.held.set(runId, held);
    const from = this.known.get(runId)?.seq ?? 0;
    try {
      const { events } = await this.server.follow(runId, from);
      const run = [...events, ...held].reduce(fold, this.known.get(runId) ?? unknownRun(runId));
      this.put(run, from > 0);
    } catch (error) {
      this.log.warn(`events of run ${runId}: ${String(error)}`);
    } finally {
      this.held.delete(runId);
    }
    return this.known.get(runId);
  }

  dispose(): void {
    clearTimeout(this.telling);
    clearTimeout(this.listing);
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  private take(event: RunEvent): void {
    const run = this.known.get(event.runId);
    const held = this.held.get(event.runId);
    if (run === undefined) this.listSoon();
    if (held) {
      held.push(event);
      return;
    }
    const where = place(run?.seq ?? 0, event);
    if (where === 'gap') void this.catchUp(event.runId);
    else if (where === 'next') this.put(fold(run ?? unknownRun(event.runId), event), true);
  }

  private put(run: LiveRun, live: boolean): void {
    const told = this.changes.get(run.runId);
    const known = this.known.get(run.runId);
    if (known && isSame(known, run)) return;
    const before = told ? told.before : known;
    this.changes.set(run.runId, { before, after: run, live: live || (told?.live ?? false) });
    this.known.set(run.runId, run);
    this.telling ??= setTimeout(() => this.tell(), TOLD_MS);
  }

  private tell(): void {
    this.telling = undefined;
    const changes = [...this.changes.values()];
    this.changes.clear();
    this.changed.fire(changes);
  }

  private listSoon(): void {
    this.listing ??= setTimeout(() => {
      this.listing = undefined;
      if (this.server.state !== 'running') return;
      this.refresh().catch((error: unknown) => this.log.warn(`list of runs: ${String(error)}`));
    }, LISTED_MS);
  }
}

function isSame(one: LiveRun, other: LiveRun): boolean {
  return (Object.keys(other) as (keyof LiveRun)[]).every((key) => one[key] === other[key]);
}

/** What projects are asked for: where the open documents lie that are in no folder of the window, and these folders. */
function places(): string[] {
  const folders = (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri);
  const documents = vscode.workspace.textDocuments.filter((one) => one.languageId === 'markdown').map((one) => one.uri);
  const outside = documents.filter((uri) => vscode.workspace.getWorkspaceFolder(uri) === undefined);
  return [...new Set([...outside, ...folders].filter((uri) => uri.scheme === 'file').map((uri) => uri.toString()))];
}
