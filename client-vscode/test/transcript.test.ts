import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inlines, markdown } from '../src/model/markdown';
import { joined, Transcript } from '../src/model/transcript';
import type { Block } from '../src/model/transcript';
import type { RunEvent } from '../src/protocol';

type Said = { type: string } & Record<string, unknown>;

/** Events with their places, as the server numbers them. */
function told(...events: Said[]): RunEvent[] {
  return events.map(
    (event, place) => ({ runId: 'r', seq: place + 1, at: '2026-11-21T10:00:00Z', ...event }) as RunEvent,
  );
}

function folded(...events: Said[]): Transcript {
  const transcript = new Transcript();
  transcript.add(told(...events));
  return transcript;
}

/** A line a block. */
function lines(blocks: readonly Block[]): string[] {
  return blocks.map((block) => {
    switch (block.kind) {
      case 'message':
      case 'thought':
      case 'said':
        return `${block.kind} ${JSON.stringify(block.text)}`;
      case 'tool':
        return `${block.tool} ${block.title} ${block.status}${block.output === '' ? '' : ` ${JSON.stringify(block.output)}`}`;
      case 'file':
        return `${block.action} ${block.path}`;
      case 'question':
        return `asks ${block.title}: ${block.answer?.option ?? '…'}`;
      case 'notice':
        return `${block.tone} ${block.text}`;
      case 'verify':
        return `verify ${block.command}: ${block.running ? '…' : String(block.ok)}`;
      case 'end':
        return `end ${block.files.map((file) => `${file.action} ${file.path}`).join(', ')}`;
      case 'outcome':
        return `${block.what} ${block.files.join(', ')}`;
    }
  });
}

const START = { type: 'start', agent: 'claude', way: 'api', model: 'm', task: '1', reason: 'It is the only one.' };

test('a run reads from its first thought to what became of it', () => {
  const run = folded(
    START,
    { type: 'state', from: 'queued', to: 'running' },
    { type: 'isolation', level: 'memory', network: 'none' },
    { type: 'phase', phase: 'thinking' },
    { type: 'thought', text: 'Hm, ' },
    { type: 'thought', text: 'cents.' },
    { type: 'chunk', text: 'I look' },
    { type: 'phase', phase: 'reading', detail: 'a.py' },
    { type: 'chunk', text: ' at it.' },
    { type: 'tool', id: '1', kind: 'read', title: 'Read a.py', path: 'a.py', status: 'in_progress' },
    { type: 'tool', id: '1', kind: 'read', title: 'Read a.py', path: 'a.py', status: 'completed' },
    { type: 'plan', entries: [{ text: 'look', status: 'completed' }] },
    { type: 'tool', id: '2', kind: 'edit', title: 'Edit a.py', path: 'a.py', status: 'completed' },
    { type: 'file', action: 'modify', path: 'a.py' },
    { type: 'file', action: 'create', path: 'b.py' },
    { type: 'file', action: 'modify', path: 'b.py' },
    { type: 'warning', kind: 'budget', message: 'Half is spent.', hint: '' },
    {
      type: 'complete',
      filesChanged: ['a.py', 'b.py'],
      filesCreated: 1,
      filesModified: 1,
      filesDeleted: 0,
      testsAdded: 2,
      summary: 'Done.',
    },
    { type: 'verifying', command: ['pytest', '-q'] },
    { type: 'verify', command: ['pytest', '-q'], ok: true, seconds: 2, summary: '3 passed' },
    { type: 'applied', files: ['a.py'], partial: true, ticked: false },
    { type: 'undone', files: ['a.py'] },
  );
  assert.deepEqual(lines(run.blocks), [
    'thought "Hm, cents."',
    'message "I look at it."',
    'read Read a.py completed',
    'edit Edit a.py completed',
    'create b.py',
    'warning Half is spent.',
    'end modify a.py, create b.py',
    'verify pytest -q: true',
    'applied a.py',
    'undone a.py',
  ]);
  assert.deepEqual(run.plan, [{ text: 'look', status: 'completed' }]);
  assert.deepEqual(run.isolation, { level: 'memory', network: 'none' });
});

test('what a command prints on the way stands with the command, and its event has the last word', () => {
  const call = { type: 'tool', id: 'c', kind: 'execute', title: 'Run make' };
  const running = folded(
    START,
    { ...call, status: 'in_progress' },
    { type: 'chunk', text: 'one\n' },
    { type: 'chunk', text: 'two\n' },
  );
  assert.deepEqual(lines(running.blocks), ['execute Run make in_progress "one\\ntwo\\n"']);
  running.add([{ ...told(call)[0], seq: 5, status: 'failed', output: '[exit code 1]\none\ntwo' } as RunEvent]);
  running.add([{ type: 'chunk', text: 'It fails.', runId: 'r', seq: 6, at: '' }]);
  assert.deepEqual(lines(running.blocks), [
    'execute Run make failed "[exit code 1]\\none\\ntwo"',
    'message "It fails."',
  ]);
  const program = folded(
    { ...START, way: 'acp' },
    { ...call, status: 'in_progress' },
    { type: 'chunk', text: 'I wait.' },
  );
  assert.deepEqual(lines(program.blocks), ['execute Run make in_progress', 'message "I wait."']);
});

test('a question is answered in its place', () => {
  const question = {
    type: 'permission',
    requestId: 'q',
    kind: 'command',
    title: 'Run make?',
    options: [{ id: 'once', label: 'Once', kind: 'allow-once' }],
  };
  const run = folded(START, question, { type: 'chunk', text: 'Then.' });
  assert.deepEqual(lines(run.blocks), ['asks Run make?: …', 'message "Then."']);
  run.taken();
  run.add([{ type: 'answer', requestId: 'q', option: 'once', by: 'editor', runId: 'r', seq: 4, at: '' }]);
  assert.deepEqual(lines(run.blocks)[0], 'asks Run make?: once');
  assert.deepEqual(run.taken(), [0]);
});

test('a message is cut where its paragraphs end, never inside of a fence', () => {
  const text = 'First\nline.\n\nSecond:\n```py\na = 1\n\nb = 2\n```\n\n- one\n- two\n';
  const whole = folded(START, { type: 'chunk', text });
  const parts = ['First\nline.\n\n', 'Second:\n```py\na = 1\n\nb = 2\n```\n\n', '- one\n- two\n'];
  assert.deepEqual(
    whole.blocks.map((block) => block.kind === 'message' && block.text),
    parts,
  );
  const slow = folded(START, ...[...text].map((letter) => ({ type: 'chunk', text: letter })));
  assert.deepEqual(lines(slow.blocks), lines(whole.blocks));
});

test('events that were seen change nothing, and only what changed is taken', () => {
  const events = told(START, { type: 'chunk', text: 'a' }, { type: 'warning', kind: 'budget', message: 'w', hint: '' });
  const run = new Transcript();
  run.add(events);
  assert.deepEqual(run.taken(), [0, 1]);
  run.add(events);
  assert.deepEqual(run.taken(), []);
  assert.equal(run.seq, 3);
});

test('joined texts say the same as single ones', () => {
  const events = told(
    START,
    ...['a', 'b', 'c'].map((text) => ({ type: 'chunk', text })),
    { type: 'thought', text: 'x' },
    { type: 'thought', text: 'y' },
    { type: 'phase', phase: 'editing' },
    { type: 'chunk', text: 'd' },
  );
  const fewer = joined(events);
  assert.deepEqual(
    fewer.map((event) => [event.type, event.seq]),
    [
      ['start', 1],
      ['chunk', 4],
      ['thought', 6],
      ['phase', 7],
      ['chunk', 8],
    ],
  );
  const [one, other] = [new Transcript(), new Transcript()];
  one.add(events);
  other.add(fewer);
  assert.deepEqual(lines(other.blocks), lines(one.blocks));
  assert.equal(events[1]?.type === 'chunk' && events[1].text, 'a', 'what was given is as it was');
});

test('a flood of a hundred thousand events stays bounded, and its end is there', () => {
  const run = new Transcript();
  const events: RunEvent[] = [];
  for (let seq = 1; seq <= 100_000; seq++) {
    const text = `word ${seq} ${'x'.repeat(60)}${seq % 9 === 0 ? '\n\n' : ' '}`;
    events.push({ type: 'chunk', text, runId: 'r', seq, at: '' });
  }
  let shown = 0;
  for (let at = 0; at < events.length; at += 500) {
    run.add(joined(events.slice(at, at + 500)));
    shown = Math.max(
      shown,
      ...run.taken().map((key) => {
        const block = run.block(key);
        return block?.kind === 'message' ? block.text.length : 0;
      }),
    );
  }
  assert.ok(run.blocks.length <= 4_000);
  assert.ok(run.dropped > 0);
  assert.ok(shown < 13_000, 'no part is long');
  const last = run.blocks.at(-1);
  assert.ok(last?.kind === 'message' && last.text.includes('word 100000 '));
  assert.equal(run.block(run.dropped), run.blocks[0]);
  assert.equal(run.block(0), undefined);
});

test('one line without an end is cut, too, and so is an output', () => {
  const run = new Transcript();
  run.add(told(START, ...Array.from({ length: 300 }, () => ({ type: 'chunk', text: 'y'.repeat(1000) }))));
  assert.ok(run.blocks.every((block) => block.kind === 'message' && block.text.length <= 13_000));
  const call = { type: 'tool', id: 'c', kind: 'execute', title: 'Run make', status: 'in_progress' };
  const printing = folded(
    START,
    call,
    ...Array.from({ length: 300 }, () => ({ type: 'chunk', text: 'z'.repeat(1000) })),
  );
  const [block] = printing.blocks;
  assert.ok(block?.kind === 'tool' && block.cut && block.output.length <= 80_000);
});

test('markdown is read into plain parts', () => {
  const parts = markdown(
    '## Plan\nSome `code` and **bold**\nhere.\n\n1. one\n   - in\n2. two\n\n```ts\n<b>&\n```\n> said',
  );
  assert.deepEqual(
    parts.map((part) => part.kind),
    ['heading', 'paragraph', 'list', 'code', 'quote'],
  );
  const [heading, paragraph, list, code] = parts;
  assert.ok(heading?.kind === 'heading' && heading.level === 2);
  assert.deepEqual(paragraph?.kind === 'paragraph' && paragraph.inlines.map((one) => one.kind), [
    'text',
    'code',
    'text',
    'strong',
    'text',
  ]);
  assert.deepEqual(list?.kind === 'list' && list.items.map((one) => one.depth), [0, 1, 0]);
  assert.deepEqual(list?.kind === 'list' && list.items.map((one) => one.number), [1, undefined, 2]);
  assert.deepEqual(code, { kind: 'code', language: 'ts', text: '<b>&' });
});

test('a fence that nobody closed is code to the end', () => {
  assert.deepEqual(markdown('```\na\n\nb'), [{ kind: 'code', language: '', text: 'a\n\nb' }]);
});

test('what looks like HTML, a link or an image is text', () => {
  for (const text of [
    '<img src=x onerror=alert(1)>',
    '[a](command:evil)',
    '![a](https://e.example/x.png)',
    '2 * 3 * 4',
    'snake_case_name',
  ])
    assert.deepEqual(inlines(text), [{ kind: 'text', text }]);
});
