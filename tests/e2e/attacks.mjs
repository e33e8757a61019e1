// What the tests of attacks share: each is a test, and a line of a table.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { bundleSource } from './from-source.mjs';

/** Sources of the service as one module, `source.mjs` in a folder of its own, for Node and for browsers. */
export async function bundleSources(...names) {
  const { folder, remove } = await bundleSource(names.map((name) => `service/${name}`));
  after(remove);
  return { folder, module: pathToFileURL(join(folder, 'source.mjs')).href };
}

/**
 * A function that makes a test of an attack. The test's function returns the outcome, as it was seen.
 * With ATTACKS set, all are printed in the end, in Markdown.
 */
export function tableOfAttacks(title) {
  const rows = [];
  after(() => {
    if (!process.env.ATTACKS) return;
    const cell = (text) => text.replaceAll('|', '\\|').replaceAll(/(?<=ey[\w.-]{10})[\w.-]+/g, '…');
    const lines = rows.map(([attack, outcome]) => `| ${cell(attack)} | ${cell(outcome)} |`);
    process.stdout.write(`\n| ${title} | outcome |\n|---|---|\n${lines.join('\n')}\n\n`);
  });
  return (name, act) =>
    test(name, async (t) => {
      const outcome = await act(t);
      assert.equal(typeof outcome, 'string', 'an attack has an outcome');
      rows.push([name, outcome]);
    });
}

/** The outcome of what must be refused: a NearsideError of this kind, with this in its context. */
export async function refusal(promise, kind, message, context = {}) {
  const error = await Promise.resolve(promise).then(
    () => assert.fail('it was let in'),
    (error) => error,
  );
  return outcomeOf(error, kind, message, context);
}

/** The same of an error that was caught in a page. */
export function outcomeOf(error, kind, message, context = {}) {
  assert.equal(error.name, 'NearsideError', error.stack ?? error.message);
  assert.equal(error.kind, kind, error.message);
  assert.match(error.message, message);
  assert.deepEqual({ ...error.context }, context, error.message);
  const status = { denied: error.context.token ? ' (401)' : ' (403)', busy: ` (429)` }[kind] ?? '';
  return `${kind}${status}: ${error.message}`;
}
