import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MINIMUM, compare, fit, numbersIn } from '../src/model/versions';

describe('versions of the server', () => {
  it('are read from what the program prints', () => {
    assert.deepEqual(numbersIn('kiro-lsp 1.12.3'), [1, 12, 3]);
    assert.deepEqual(numbersIn('0.2rc1'), [0, 2, 0]);
    assert.equal(numbersIn('Python'), undefined);
  });
  it('are compared as numbers', () => {
    assert.ok(compare('0.10.0', '0.9.9') > 0);
    assert.ok(compare('1.0.0', '1.0.1') < 0);
    assert.equal(compare('1.2', '1.2.0'), 0);
    assert.ok(compare('unknown', '0.0.0') < 0);
  });
  it('fit from the minimum on, within its major version', () => {
    assert.equal(fit(MINIMUM), 'fits');
    assert.equal(fit('0.0.9', '0.1.0'), 'too old');
    assert.equal(fit('0.99.0', '0.1.0'), 'fits');
    assert.equal(fit('1.0.0', '0.1.0'), 'too new');
    assert.equal(fit('2.3.0', '2.4.0'), 'too old');
  });
});
