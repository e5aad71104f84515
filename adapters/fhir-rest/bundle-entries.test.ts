/** How much one Bundle may ask for. */
import { expect, test } from 'vitest';
import { answeredEntries } from './bundle-entries.ts';
import type { EntryRequest } from './bundle-entries.ts';

const entry = (method: EntryRequest['method'], index: number): EntryRequest => ({ index, method, url: new URL(`http://gateway/fhir/r4/Patient/${index}`), resource: undefined, fullUrl: undefined, ifNoneExist: null, ifMatch: null, ifNoneMatch: null });

test('reads beyond what fits into one answer are refused by themselves; what writes is still done', async () => {
  const asked: number[] = [];
  const answered = await answeredEntries([entry('GET', 0), entry('GET', 1), entry('GET', 2), entry('PUT', 3), entry('GET', 4)], (each) => { asked.push(each.index); return new Response(JSON.stringify({ resourceType: 'Patient', id: 'x'.repeat(50) })); }, 100);
  expect(asked).toEqual([0, 1, 3]);
  expect(answered.map(({ response }) => response?.status)).toEqual(['200', '200', '413', '200', '413']);
  expect(answered[2]).toMatchObject({ response: { outcome: { issue: [{ code: 'too-costly' }] } } });
  expect(answered[2]?.resource).toBeUndefined();
});
