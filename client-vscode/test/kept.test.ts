import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Kept } from '../src/model/kept';

/** A question whose answers come when they are told. */
function asker(): { ask: () => Promise<string>; answers: ((text: string) => void)[] } {
  const answers: ((text: string) => void)[] = [];
  return { ask: () => new Promise((resolve) => answers.push(resolve)), answers };
}

describe('answers that are kept', () => {
  it('are asked for once, however many want them meanwhile and later', async () => {
    const kept = new Kept<string>();
    const { ask, answers } = asker();
    const both = [kept.get('a', ask), kept.get('a', ask)];
    answers[0]?.('one');
    assert.deepEqual(await Promise.all(both), ['one', 'one']);
    assert.equal(await kept.get('a', ask), 'one');
    assert.equal(answers.length, 1);
  });
  it('are asked for again after a change, and what was known is there until then', async () => {
    const kept = new Kept<string>();
    await kept.get('a', () => Promise.resolve('one'));
    kept.drop('a');
    assert.equal(kept.last('a'), 'one');
    assert.equal(await kept.get('a', () => Promise.resolve('two')), 'two');
    assert.equal(kept.last('a'), 'two');
    kept.clear();
    assert.equal(await kept.get('a', () => Promise.resolve('three')), 'three');
  });
  it('are not those that were on their way when it changed', async () => {
    const kept = new Kept<string>();
    const { ask, answers } = asker();
    const early = kept.get('a', ask);
    kept.drop('a');
    const late = kept.get('a', ask);
    answers[1]?.('new');
    assert.equal(await late, 'new');
    answers[0]?.('old');
    assert.equal(await early, 'old');
    assert.equal(kept.last('a'), 'new');
    assert.equal(await kept.get('a', ask), 'new');
  });
  it('are none that failed', async () => {
    const kept = new Kept<string>();
    await assert.rejects(
      kept.get('a', () => Promise.reject(new Error('gone'))),
      /gone/,
    );
    assert.equal(kept.last('a'), undefined);
    assert.equal(await kept.get('a', () => Promise.resolve('one')), 'one');
  });
});
