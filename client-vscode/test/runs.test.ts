import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LiveRun } from '../src/model/runs';
import * as runs from '../src/model/runs';
import type { Run, RunEvent } from '../src/protocol';

type Body<Event> = Event extends unknown ? Omit<Event, 'runId' | 'seq' | 'at'> : never;

/** The events of run `r1`, numbered from 1, a second apart. */
function numbered(...bodies: Body<RunEvent>[]): RunEvent[] {
  return bodies.map((body, index) => {
    const at = new Date(Date.UTC(2026, 0, 1, 0, 0, index)).toISOString();
    return { ...body, runId: 'r1', seq: index + 1, at } as RunEvent;
  });
}

function folded(...bodies: Body<RunEvent>[]): LiveRun {
  return numbered(...bodies).reduce(runs.fold, runs.unknownRun('r1'));
}

const STARTED: Body<RunEvent>[] = [
  { type: 'state', from: 'queued', to: 'running' },
  { type: 'start', agent: 'claude', way: 'acp', model: 'opus', task: '1', reason: 'chosen by you' },
  { type: 'phase', phase: 'starting' },
];
const QUESTION: Body<RunEvent> = {
  type: 'permission',
  requestId: 'q1',
  kind: 'command',
  title: 'Run in a copy of the project (not sandboxed): npm test',
  detail: { argv: ['npm', 'test'], cwd: '.', env: {}, digest: 'd' },
  options: [
    { id: 'once', label: 'Allow once', kind: 'allow-once' },
    { id: 'deny', label: 'Deny', kind: 'deny' },
  ],
};
const ASKED: Body<RunEvent>[] = [...STARTED, { type: 'state', from: 'running', to: 'waiting' }, QUESTION];
const COMPLETE: Body<RunEvent> = {
  type: 'complete',
  filesChanged: ['a.py', 'b.py'],
  filesCreated: 1,
  filesModified: 1,
  filesDeleted: 0,
  testsAdded: 2,
  summary: 'Split it.',
};

const RECORD: Run = {
  runId: 'r1',
  root: '/p',
  path: 'tasks.md',
  task: 'id:1',
  title: 'Split the bill',
  agent: 'claude',
  label: 'Claude',
  way: 'acp',
  model: 'opus',
  state: 'running',
  startedAt: '2026-01-01T00:00:00Z',
  endedAt: null,
  cost: null,
  billing: 'subscription',
  inputTokens: 5,
  outputTokens: 6,
  cachedTokens: 0,
  turns: 1,
  files: 0,
  replay: false,
  continues: null,
  owner: null,
};

describe('a run that works', () => {
  it('is known by who does it, since when, and in which phase', () => {
    const run = folded(...STARTED, { type: 'phase', phase: 'editing', detail: 'a.py' });
    assert.deepEqual(
      [run.state, run.agent, run.way, run.model, run.phase, run.phaseDetail, run.seq],
      ['running', 'claude', 'acp', 'opus', 'editing', 'a.py', 4],
    );
    assert.equal(run.startedAt, '2026-01-01T00:00:01.000Z');
    assert.equal(runs.seconds(run, Date.parse('2026-01-01T00:00:43.900Z')), 42);
  });

  it('counts each changed file once', () => {
    const file: Body<RunEvent> = { type: 'file', action: 'modify', path: 'a.py' };
    const run = folded(...STARTED, file, file, { ...file, path: 'b.py' });
    assert.deepEqual([run.files, run.fileCount], [['a.py', 'b.py'], 2]);
  });

  it('shows the tool at work until that one is done', () => {
    const tool: Body<RunEvent> = { type: 'tool', id: 't1', kind: 'execute', title: 'npm test', status: 'in_progress' };
    assert.equal(folded(...STARTED, tool).tool?.title, 'npm test');
    assert.equal(folded(...STARTED, tool, { ...tool, id: 't0', status: 'completed' }).tool?.id, 't1');
    assert.equal(folded(...STARTED, tool, { ...tool, status: 'completed' }).tool, undefined);
  });

  it('keeps the latest usage, whose unknown cost stays unknown', () => {
    const usage: Body<RunEvent> = {
      type: 'usage',
      inputTokens: 10,
      outputTokens: 2,
      cachedTokens: 4,
      cost: '0.01',
      billing: 'metered',
      turns: 1,
    };
    const run = folded(...STARTED, usage, { ...usage, cost: null, inputTokens: 20 });
    assert.deepEqual(run.used, {
      inputTokens: 20,
      outputTokens: 2,
      cachedTokens: 4,
      cost: null,
      billing: 'metered',
      turns: 1,
    });
  });

  it('passes kinds of events over that it does not know, and those it has seen', () => {
    const run = folded(...STARTED);
    const strange = { type: 'sparkle', runId: 'r1', seq: 4, at: '' } as unknown as RunEvent;
    const after = runs.fold(run, strange);
    assert.deepEqual({ ...after, seq: 3 }, run);
    assert.equal(runs.fold(after, { ...strange, seq: 2 }), after);
  });
});

describe('a question', () => {
  it('is open from its event on', () => {
    const run = folded(...ASKED);
    assert.ok(runs.isAsking(run));
    assert.deepEqual([run.question.requestId, run.question.detail?.argv], ['q1', ['npm', 'test']]);
  });

  it('is gone once it is answered, wherever that was', () => {
    const run = folded(...ASKED, { type: 'answer', requestId: 'q1', option: 'once', by: 'terminal' });
    assert.equal(run.question, undefined);
  });

  it('stays when another one was answered', () => {
    assert.ok(runs.isAsking(folded(...ASKED, { type: 'answer', requestId: 'q0', option: 'once', by: 'editor' })));
  });

  it('is gone with the run', () => {
    const run = folded(...ASKED, { type: 'state', from: 'waiting', to: 'cancelled' }, { type: 'cancelled' });
    assert.deepEqual([run.question, runs.isAsking(run), run.state], [undefined, false, 'cancelled']);
  });
});

describe('the end of a run', () => {
  const reviewed = [...STARTED, { type: 'state', from: 'running', to: 'review' } as const, COMPLETE];

  it('brings the files of the change set and the time', () => {
    const run = folded(...reviewed);
    assert.deepEqual([run.fileCount, run.summary, run.endedAt], [2, 'Split it.', '2026-01-01T00:00:03.000Z']);
    assert.deepEqual([run.phase, runs.isReviewable(run), runs.isLive(run)], ['', true, false]);
  });

  it('tells why it failed', () => {
    const error: Body<RunEvent> = { type: 'error', kind: 'auth', message: 'No key.', hint: 'Set one.' };
    const run = folded(...STARTED, { type: 'state', from: 'running', to: 'failed' }, error);
    assert.deepEqual(run.error, { kind: 'auth', message: 'No key.', hint: 'Set one.' });
    assert.deepEqual([runs.isCutOff(run), runs.isReviewable(run)], [true, false]);
  });

  it('can be reviewed when it was stopped with something in hand', () => {
    const file: Body<RunEvent> = { type: 'file', action: 'modify', path: 'a.py' };
    assert.ok(runs.isReviewable(folded(...STARTED, file, { type: 'state', from: 'running', to: 'cancelled' })));
  });

  it('has a verdict that is open while the command runs', () => {
    const begun = [...STARTED, { type: 'state', from: 'running', to: 'verifying' } as const];
    const open = folded(...begun, { type: 'verifying', command: ['npm', 'test'] });
    assert.deepEqual(open.verified, { command: 'npm test', ok: null, summary: '' });
    assert.deepEqual([runs.isLive(open), runs.isReviewable(open), runs.isRunning(open)], [true, true, false]);
    const verify: Body<RunEvent> = {
      type: 'verify',
      command: ['npm', 'test'],
      ok: false,
      seconds: 1,
      summary: '2 failed',
    };
    assert.equal(folded(...begun, { type: 'verifying', command: ['npm', 'test'] }, verify).verified?.ok, false);
  });

  it('leaves the review to the run that goes on from it, until that one gives it back', () => {
    const run = folded(...reviewed, { type: 'superseded', by: 'r2' });
    const later = { ...runs.unknownRun('r2'), state: 'running' as const };
    const found = (state: LiveRun['state']) => (): LiveRun => ({ ...later, state });
    assert.equal(runs.isReviewable(run, found('running')), false);
    assert.equal(runs.isReviewable(run, found('rejected')), true);
    assert.equal(runs.isReviewable(run, found('failed')), true);
    assert.equal(runs.isReviewable(run), false);
  });
});

describe('events out of order', () => {
  const [first] = numbered(...STARTED);

  it('are told from the next one', () => {
    assert.ok(first);
    assert.deepEqual(
      [1, 2, 3].map((seq) => runs.place(1, { ...first, seq })),
      ['seen', 'next', 'gap'],
    );
  });
});

describe('a record', () => {
  it('says who and what a run is', () => {
    const run = runs.withRecord(folded(...STARTED), RECORD, true);
    assert.deepEqual([run.label, run.title, run.task, run.root], ['Claude', 'Split the bill', 'id:1', '/p']);
    assert.equal(run.used?.inputTokens, 5);
  });

  it('does not take back what an event said after it was asked for', () => {
    const run = runs.withRecord(folded(...ASKED), RECORD, false);
    assert.deepEqual([run.state, run.question?.requestId, run.title], ['waiting', 'q1', 'Split the bill']);
  });

  it('takes a question away that is not open any more', () => {
    assert.equal(runs.withRecord(folded(...ASKED), RECORD, true).question, undefined);
  });

  it('keeps its everyday name when the run says its own', () => {
    const [, start] = numbered(...STARTED);
    assert.ok(start);
    assert.equal(runs.fold(runs.withRecord(runs.unknownRun('r1'), RECORD, true), start).label, 'Claude');
  });
});

describe('several runs', () => {
  const of = (runId: string, change: Partial<LiveRun>): [string, LiveRun] => [
    runId,
    { ...runs.unknownRun(runId), ...change },
  ];

  it('are counted by what they need', () => {
    const all = new Map([
      of('a', { state: 'running' }),
      of('b', { ...folded(...ASKED), runId: 'b' }),
      of('c', { state: 'review' }),
      of('d', { state: 'verifying' }),
      of('e', { state: 'applied' }),
      of('f', { state: 'review', supersededBy: 'a' }),
    ]);
    assert.deepEqual(runs.tally(all), { running: 2, asking: 1, reviews: 1 });
  });

  it('stand newest first', () => {
    const listed = [of('old', { startedAt: '2025' }), of('new', { startedAt: '2026' }), of('now', {})];
    assert.deepEqual(
      runs.newestFirst(listed.map(([, run]) => run)).map((run) => run.runId),
      ['now', 'new', 'old'],
    );
  });
});

describe('money', () => {
  for (const [cost, shown] of [
    ['0', '$0.00'],
    ['0.004', '<$0.01'],
    ['0.034', '$0.03'],
    ['12', '$12.00'],
    ['much', 'much'],
  ] as const) {
    it(`${cost} is ${shown}`, () => assert.equal(runs.dollars(cost), shown));
  }
});

describe('runs of folders', () => {
  const known = ['review', 'running', 'applied'].map((state, at) => ({
    ...runs.unknownRun(`r${at + 1}`),
    state: state as LiveRun['state'],
  }));
  const foundIn = new Map([
    ['r1', 'file:///b'],
    ['r2', 'file:///b'],
    ['r3', 'file:///a'],
  ]);
  it('are left behind when the folder is closed, except what still goes on', () => {
    const left = (...closed: string[]): string[] =>
      runs.leftBehind(known, foundIn, new Set(closed)).map(({ runId }) => runId);
    assert.deepEqual(left(), []);
    assert.deepEqual(left('file:///b'), ['r1']);
    assert.deepEqual(left('file:///a', 'file:///b'), ['r1', 'r3']);
  });
  it('cost something else on another day, and when one of them has used more', () => {
    const now = runs.spendingOf(known, 'Monday');
    assert.equal(runs.spendingOf([...known], 'Monday'), now);
    assert.notEqual(runs.spendingOf(known, 'Tuesday'), now);
    const used = folded({
      type: 'usage',
      inputTokens: 1,
      outputTokens: 1,
      cachedTokens: 0,
      cost: '0.01',
      billing: 'metered',
    });
    assert.notEqual(runs.spendingOf([...known, used], 'Monday'), now);
  });
});
