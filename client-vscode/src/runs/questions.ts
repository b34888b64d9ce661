import * as vscode from 'vscode';
import { asked, buttons, denial, details, isConsent, isShort, withoutLinks } from '../model/questions';
import type { LiveRun } from '../model/runs';
import type { Choice, Question } from '../protocol';
import type { App } from '../server/connection';

/** By then a notification has gone to the bell by itself, and the next one may come. */
const NEXT_MS = 15_000;

interface Reply {
  option: string;
  text?: string;
}

type Shown = vscode.MessageItem & { choice?: Choice; opens?: 'sheet' | 'words' };

/**
 * Questions of runs, put one after another: consent as one modal sheet, anything else as a notification. A notification that
 * is closed is no answer: the question stays open in the lens, the status bar and the output view until it is answered there.
 */
export class Questions {
  private readonly open = new Map<string, Question>();
  private queue: Promise<void> = Promise.resolve();

  constructor(private readonly app: App) {
    app.server.answers.permission = (question, cancelled) => this.ask(question, cancelled);
    app.server.answers.input = async (title) =>
      (await vscode.window.showInputBox({
        title,
        ignoreFocusOut: true,
        placeHolder: vscode.l10n.t('In your words'),
      })) ?? null;
    app.server.onDidChangeState((state) => {
      if (state !== 'running') this.open.clear();
    });
  }

  /** Puts the question of a run that waits once more, as one sheet with everything that it says. */
  async show(run: LiveRun & { question: Question }): Promise<void> {
    await this.sheet(run.question);
  }

  /**
   * The answer goes by `kiroLsp.answer` like one from anywhere else, and the server then takes its request back. So this
   * promise is kept until then: `null` would be a no.
   */
  private ask(question: Question, cancelled: vscode.CancellationToken): Promise<Reply | null> {
    const key = keyOf(question);
    this.open.set(key, question);
    const over = new Promise<null>((resolve) =>
      cancelled.onCancellationRequested(() => {
        this.open.delete(key);
        resolve(null);
      }),
    );
    this.queue = this.queue.then(async () => {
      if (this.open.has(key)) await this.put(question, over);
    });
    return over;
  }

  private async put(question: Question, over: Promise<null>): Promise<void> {
    const answered = isConsent(question) ? this.sheet(question) : this.notify(question, over);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, NEXT_MS)));
    // A sheet stands before everything else until it is answered; a notification steps aside by itself.
    await Promise.race(isConsent(question) ? [answered, over] : [answered, over, late]).catch((error: unknown) =>
      this.app.log.error(String(error)),
    );
    clearTimeout(timer);
  }

  /** A modal sheet: what is asked, below it every line of the details, and all options as buttons. */
  private async sheet(question: Question): Promise<void> {
    const no = denial(question);
    const items: Shown[] = question.options.map((choice) => ({
      title: choice.label,
      choice,
      ...(choice.kind === 'deny' && isConsent(question) ? { isCloseAffordance: true } : {}),
    }));
    if (question.words) items.unshift({ title: vscode.l10n.t('Answer in words…'), opens: 'words' });
    if (!isConsent(question)) items.push({ title: vscode.l10n.t('Later'), isCloseAffordance: true });
    const text = isConsent(question) ? asked(question) : this.whoAsks(question);
    const lines = isConsent(question) ? details(question) : [asked(question), '', ...described(question)];
    const options = { modal: true, detail: lines.join('\n') };
    const ordered = no
      ? [...items.filter((item) => item.choice !== no), ...items.filter((item) => item.choice === no)]
      : items;
    await this.take(question, await vscode.window.showInformationMessage(text, options, ...ordered));
  }

  /** A notification with the exact command; one that is too long to be read there is opened as a sheet. */
  private async notify(question: Question, over: Promise<null>): Promise<void> {
    const more: Shown = { title: vscode.l10n.t('More…'), opens: 'sheet' };
    const answer: Shown = { title: vscode.l10n.t('Answer…'), opens: 'words' };
    const some = isShort(question) ? buttons(question) : question.options.filter((option) => option.kind === 'deny');
    const choices: Shown[] = some.map((choice) => ({ title: choice.label, choice }));
    const isCut = some.length < question.options.length;
    const items = [...(question.words ? [answer] : []), ...choices, ...(isCut ? [more] : [])];
    const place = question.detail?.cwd;
    const where = place === undefined || place === '.' ? '' : ` ${vscode.l10n.t('(in {0})', place)}`;
    const said = isShort(question) ? asked(question) + where : vscode.l10n.t('a command that is too long to show here');
    const text = withoutLinks(vscode.l10n.t('{0}: {1}', this.whoAsks(question), said));
    const closed = vscode.window.showWarningMessage(text, ...items);
    const chosen = await Promise.race([closed, over]);
    if (chosen === null) {
      // Answered elsewhere: what is still on the screen would ask for nothing. The editor can only put all of them away.
      await vscode.commands.executeCommand('notifications.hideToasts');
      return;
    }
    await this.take(question, chosen);
  }

  private async take(question: Question, chosen: Shown | undefined): Promise<void> {
    if (chosen?.opens === 'sheet') await this.sheet(question);
    else if (chosen?.opens === 'words') await this.words(question);
    else if (chosen?.choice) await this.answer(question, { option: chosen.choice.id });
  }

  private async words(question: Question): Promise<void> {
    const title = this.whoAsks(question);
    const text = await vscode.window.showInputBox({ title, prompt: asked(question), ignoreFocusOut: true });
    if (text !== undefined && text.trim() !== '') await this.answer(question, { option: '', text });
  }

  private async answer(question: Question, reply: Reply): Promise<void> {
    this.open.delete(keyOf(question));
    const { runId, requestId } = question;
    const done = await this.app.server.command('answer', { runId, requestId, ...reply });
    if (!done.ok) void vscode.window.showInformationMessage(done.message ?? '');
  }

  private whoAsks(question: Question): string {
    const run = this.app.runs.get(question.runId);
    const who = run?.label === undefined || run.label === '' ? vscode.l10n.t('The agent') : run.label;
    return question.detail?.argv ? vscode.l10n.t('{0} asks to run', who) : vscode.l10n.t('{0} asks', who);
  }
}

/** The details with a word on what they are. */
function described(question: Question): string[] {
  const { argv, cwd, env } = question.detail ?? {};
  if (!argv) return details(question);
  const lines = argv.map((part, index) => `${index + 1}. ${withoutLinks(part)}`);
  const place = cwd === undefined || cwd === '.' ? [] : ['', vscode.l10n.t('Folder: {0}', cwd)];
  const variables = Object.entries(env ?? {}).map(([name, value]) => withoutLinks(`${name}=${value}`));
  return [...lines, ...place, ...variables, '', question.title.split(':')[0] ?? ''];
}

function keyOf(question: Question): string {
  return `${question.runId}/${question.requestId}`;
}
