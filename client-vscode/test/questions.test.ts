import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as questions from '../src/model/questions';
import type { Question } from '../src/protocol';

const ONCE = { id: 'once', label: 'Allow once', kind: 'allow-once' } as const;
const RUN = { id: 'run', label: 'Allow for this run', kind: 'allow-run' } as const;
const ALWAYS = {
  id: 'always',
  label: 'Always allow this exact command in this project',
  kind: 'allow-always',
} as const;
const DENY = { id: 'deny', label: 'Deny', kind: 'deny' } as const;

function command(argv: string[], more: Partial<Question['detail']> = {}): Question {
  const detail = { argv, cwd: '.', env: {}, digest: 'd', ...more };
  const title = `Run in a copy of the project: ${argv.join(' ')}`;
  return { runId: 'r', requestId: 'q', kind: 'command', title, detail, options: [ONCE, RUN, ALWAYS, DENY] };
}

const CONSENT: Question = {
  runId: 'r',
  requestId: 'q',
  kind: 'consent',
  title:
    'Run “Split the bill” with Claude?\nAgent: Claude by acp.\nYour files change only after you accept the review.',
  options: [{ id: 'run', label: 'Run', kind: 'allow-once' }, DENY],
};

describe('a command that is asked for', () => {
  it('stands there as one line, with quotes where they are needed', () => {
    assert.equal(questions.asked(command(['npm', 'test', '--', 'a b', "it's"])), `npm test -- 'a b' 'it'\\''s'`);
  });

  it('shows what cannot be seen', () => {
    assert.equal(questions.asked(command(['rm', 'a\u202etxt', 'b\nc'])), "rm 'a\\u202etxt' 'b\\u000ac'");
    assert.equal(questions.seen('x\u{e0041}'), 'x\\u{e0041}');
  });

  it('cannot bring links along', () => {
    assert.doesNotMatch(questions.withoutLinks('[Deny](command:evil)'), /\]\(/);
  });

  it('has every argument on a line of its own', () => {
    const asked = command(['make', 'all'], { cwd: 'web', env: { CI: '1' } });
    assert.deepEqual(questions.details(asked), ['make', 'all', 'web', 'CI=1']);
  });

  it('is opened to be answered where it is long, or sets variables', () => {
    assert.deepEqual(
      [command(['npm', 'test']), command(['x'.repeat(300)]), command(['a'], { env: { CI: '1' } })].map(
        questions.isShort,
      ),
      [true, false, false],
    );
  });

  it('offers on its buttons what holds for now', () => {
    assert.deepEqual(
      questions.buttons(command(['a'])).map((option) => option.id),
      ['once', 'run', 'deny'],
    );
  });
});

describe('a sheet', () => {
  it('is its first line and the lines below', () => {
    assert.equal(questions.asked(CONSENT), 'Run “Split the bill” with Claude?');
    assert.deepEqual(questions.details(CONSENT), [
      'Agent: Claude by acp.',
      'Your files change only after you accept the review.',
    ]);
  });

  it('is known by its kind', () => {
    assert.deepEqual([CONSENT, { ...CONSENT, kind: 'spend' }, command(['a'])].map(questions.isConsent), [
      true,
      true,
      false,
    ]);
  });

  it('has a no', () => {
    assert.equal(questions.denial(CONSENT)?.id, 'deny');
  });

  it('offers all of few options', () => {
    assert.deepEqual(questions.buttons(CONSENT), CONSENT.options);
  });
});
