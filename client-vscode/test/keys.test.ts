import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KEY_NAMES, troubleWith } from '../src/model/keys';

describe('keys', () => {
  it('have names that are environment variables, each once', () => {
    const names = KEY_NAMES.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    for (const name of names) assert.match(name, /^[A-Z]+(_[A-Z]+)+$/);
  });
  it('are taken with blanks around them, and without anything else', () => {
    assert.equal(troubleWith('  a-key \n'), undefined);
    assert.equal(troubleWith('  '), 'empty');
    assert.equal(troubleWith('a key'), 'several lines');
    assert.equal(troubleWith('a\nkey'), 'several lines');
    assert.equal(troubleWith('ANTHROPIC_API_KEY=a-key'), 'a name with it');
    assert.equal(troubleWith('export KEY'), 'several lines');
  });
});
