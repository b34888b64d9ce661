import { execFile } from 'node:child_process';
import * as vscode from 'vscode';
import { dollars } from '../model/runs';
import { seen } from '../model/questions';
import type { Costs } from '../protocol';
import type { App } from '../server/connection';
import { restricted } from './perform';

/** Texts that are shown and not kept: `kiro-text:/NAME`. */
const SCHEME = 'kiro-text';
const DOCTOR_MS = 60_000;

/** Read-only documents of the doctor and of costs. */
export class Pages implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  readonly onDidChange = this.changed.event;

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.path) ?? '';
  }

  /** Keeps a text under a name, whose ending says what it is, and returns where it is shown. */
  keep(name: string, text: string): vscode.Uri {
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${name}` });
    this.texts.set(uri.path, text);
    this.changed.fire(uri);
    return uri;
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }
}

/** Shows what the project asks for, and trusts exactly that after a yes. */
export async function trustProject(app: App, root?: unknown): Promise<unknown> {
  if (!vscode.workspace.isTrusted) return await restricted();
  const about = typeof root === 'string' ? { root } : here();
  const { state, digest, values } = await app.server.command('trustWorkspace', about);
  const lines = values.map(({ key, value, source }) => seen(`${key} = ${plain(value)}  (${source})`));
  const asked = lines.length > 0 ? lines.join('\n') : vscode.l10n.t('It asks for nothing that needs trust.');
  if (state === 'trusted') {
    const detail = lines.join('\n');
    void vscode.window.showInformationMessage(vscode.l10n.t('This project is trusted.'), {
      modal: lines.length > 0,
      detail,
    });
    return { state, digest, values };
  }
  const yes = vscode.l10n.t('Trust Project');
  const detail = `${asked}\n\n${vscode.l10n.t('A change of these values asks again.')}`;
  const chosen = await vscode.window.showWarningMessage(
    vscode.l10n.t('Trust what this project asks for?'),
    { modal: true, detail },
    yes,
  );
  return chosen === yes ? await app.server.command('trustWorkspace', { ...about, digest }) : { state, digest, values };
}

/** Shows the whole report of `kiro-lsp doctor`; where that cannot be run, what the server says. */
export async function doctor(app: App, pages: Pages): Promise<unknown> {
  if (!vscode.workspace.isTrusted) return await restricted();
  const location = { location: vscode.ProgressLocation.Window, title: vscode.l10n.t('Kiro: looking around…') };
  const text = await vscode.window.withProgress(location, async () => await report(app));
  const document = await vscode.workspace.openTextDocument(pages.keep('Kiro Doctor.txt', text));
  await vscode.window.showTextDocument(document, { preview: true });
  return { ok: true, message: text };
}

async function report(app: App): Promise<string> {
  await app.server.start();
  const { launch } = app.server;
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
  const whole = await new Promise<string>((resolve) => {
    if (!launch) {
      resolve('');
      return;
    }
    const args = [...launch.args.filter((one) => one !== '--stdio' && one !== 'serve'), 'doctor'];
    const env = { ...process.env, ...launch.env, NO_COLOR: '1', COLUMNS: '110' };
    const options = { env, timeout: DOCTOR_MS, ...(folder === undefined ? {} : { cwd: folder }) };
    execFile(launch.command, args, options, (error, stdout, stderr) => {
      if (error) app.log.debug(`doctor: ${error.message} ${stderr}`);
      resolve(stdout);
    });
  });
  return whole.trim() === '' ? ((await app.server.command('doctor', {})).message ?? '') : whole;
}

/** Shows what was spent: today against the cap, then by agent, spec, task and day. */
export async function showCosts(app: App, pages: Pages): Promise<void> {
  const kinds = ['agent', 'spec', 'task', 'day'] as const;
  const all = await Promise.all(kinds.map((by) => app.server.costs(by)));
  const [first] = all;
  if (!first) return;
  const heads = [vscode.l10n.t('Agent'), vscode.l10n.t('Spec'), vscode.l10n.t('Task'), vscode.l10n.t('Day')];
  const text = [...today(first), ...all.flatMap((costs, index) => table(heads[index] ?? '', costs))].join('\n');
  const uri = pages.keep('Kiro Costs.md', text);
  await vscode.commands.executeCommand('markdown.showPreview', uri);
}

function today(costs: Costs): string[] {
  const open = vscode.l10n.t('Requests of unknown cost: {0}. They count as what was reserved for them.', costs.unknown);
  return [
    `# ${vscode.l10n.t('Costs')}`,
    '',
    `**${vscode.l10n.t('Today: {0} of {1}', dollars(costs.spent), dollars(costs.cap))}**`,
    '',
    vscode.l10n.t(
      'A run may cost {0}; from {1} a day on you are warned.',
      dollars(costs.capRun),
      dollars(costs.warnAt),
    ),
    ...(costs.unknown > 0 ? ['', open] : []),
  ];
}

function table(head: string, costs: Costs): string[] {
  if (costs.rows.length === 0) return [];
  const columns = [
    head,
    vscode.l10n.t('Runs'),
    vscode.l10n.t('Cost'),
    vscode.l10n.t('Tokens in'),
    vscode.l10n.t('out'),
    vscode.l10n.t('cached'),
  ];
  const rows = costs.rows.map((row) => {
    const cost = row.cost === null ? vscode.l10n.t('unknown') : dollars(row.cost);
    const key = seen(row.key).replaceAll('|', '\\|').replaceAll('<', '&lt;');
    const counts = [row.inputTokens, row.outputTokens, row.cachedTokens].map((count) =>
      count.toLocaleString(vscode.env.language),
    );
    return [key, row.runs, cost, ...counts];
  });
  const line = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;
  return ['', line(columns), '| --- | ---: | ---: | ---: | ---: | ---: |', ...rows.map(line)];
}

/** The project of the document before the person, else the only one. */
function here(): { root?: string } {
  const uri = vscode.window.activeTextEditor?.document.uri;
  return uri?.scheme === 'file' ? { root: uri.toString() } : {};
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
