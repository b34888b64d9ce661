import * as vscode from 'vscode';

/** Every word of the page, in the person's language; `{0}` and `{1}` are filled in there. */
export function pageWords() {
  return { ...frame(), ...calls(), ...outcomes() };
}

/** What stands around the blocks. */
function frame() {
  return {
    choose: vscode.l10n.t('Which run is shown'),
    newest: vscode.l10n.t('Newest'),
    run: vscode.l10n.t('Run'),
    inMemory: vscode.l10n.t('in memory'),
    inSandbox: vscode.l10n.t('in a sandbox'),
    inCopy: vscode.l10n.t('in a copy'),
    noNetwork: vscode.l10n.t('no network'),
    network: vscode.l10n.t('network: {0}'),
    log: vscode.l10n.t('What the run says'),
    plan: vscode.l10n.t('Plan'),
    planDone: vscode.l10n.t('{0} of {1} done'),
    done: vscode.l10n.t('done'),
    inProgress: vscode.l10n.t('in progress'),
    pending: vscode.l10n.t('to do'),
    failed: vscode.l10n.t('failed'),
    earlier: vscode.l10n.t('Earlier output is folded. Show it'),
    dropped: vscode.l10n.t('The beginning is left out: it is too long.'),
    find: vscode.l10n.t('Find'),
    findPrevious: vscode.l10n.t('Previous place (Shift+Enter)'),
    findNext: vscode.l10n.t('Next place (Enter)'),
    findClose: vscode.l10n.t('Close (Escape)'),
    findCount: vscode.l10n.t('{0} of {1}'),
    jump: vscode.l10n.t('Jump to the end'),
  };
}

/** What stands in the blocks of messages, calls and questions. */
function calls() {
  return {
    thought: vscode.l10n.t('Thought'),
    thinking: vscode.l10n.t('Thinking …'),
    you: vscode.l10n.t('You'),
    openFile: vscode.l10n.t('Open {0}'),
    openProposed: vscode.l10n.t('Open {0} as the run proposes it'),
    showAll: vscode.l10n.t('Show all {0} lines'),
    showLess: vscode.l10n.t('Show the end only'),
    outputOf: vscode.l10n.t('Output of {0}'),
    cut: vscode.l10n.t('[the beginning is left out]'),
    inFolder: vscode.l10n.t('in {0}'),
    words: vscode.l10n.t('Your answer'),
    send: vscode.l10n.t('Send'),
    answeredBy: vscode.l10n.t('answered in {0}'),
    unanswered: vscode.l10n.t('not answered'),
  };
}

/** What stands in the blocks of verdicts and of the end. */
function outcomes() {
  return {
    verifying: vscode.l10n.t('Verifying with {0} …'),
    verified: vscode.l10n.t('Verified with {0}'),
    notVerified: vscode.l10n.t('{0} found problems'),
    stoppedVerify: vscode.l10n.t('{0} was stopped'),
    seconds: vscode.l10n.t('{0} s'),
    minutes: vscode.l10n.t('{0} min {1} s'),
    create: vscode.l10n.t('created'),
    modify: vscode.l10n.t('modified'),
    delete: vscode.l10n.t('deleted'),
    rename: vscode.l10n.t('renamed'),
    created: vscode.l10n.t('{0} created'),
    modified: vscode.l10n.t('{0} modified'),
    deleted: vscode.l10n.t('{0} deleted'),
    tests: vscode.l10n.t('{0} tests added'),
    noFiles: vscode.l10n.t('No file was changed.'),
    proposes: vscode.l10n.t('Proposed changes'),
    applied: vscode.l10n.t('Accepted: {0} files written'),
    appliedPart: vscode.l10n.t('Accepted in part: {0} files written'),
    ticked: vscode.l10n.t('the task is ticked'),
    rejected: vscode.l10n.t('Rejected'),
    conflict: vscode.l10n.t('Conflict: {0}'),
    undone: vscode.l10n.t('Undone: {0} files are as before'),
    superseded: vscode.l10n.t('A later run goes on from here.'),
    cancelled: vscode.l10n.t('Stopped by you'),
    interrupted: vscode.l10n.t('Cut off: the program that ran it ended.'),
    emptyTitle: vscode.l10n.t('No run yet'),
    emptyText: vscode.l10n.t('Click ▶ above a task of a tasks.md, and what the agent says and does is shown here.'),
    emptyRun: vscode.l10n.t('Nothing was said yet.'),
    openTaskFile: vscode.l10n.t('Open a tasks.md'),
    demo: vscode.l10n.t('Try the demo'),
    hint: vscode.l10n.t('What you can do'),
    code: vscode.l10n.t('Code'),
  };
}
