import { expect, test } from 'vitest';
import { z } from 'zod';
import { createLog, describeError } from './log.ts';

function lines(write: (log: ReturnType<typeof createLog>) => void): string {
  let text = '';
  write(createLog({ logLevel: 'info' }, { write: (line) => { text += line; } }));
  return text;
}

test('writes one JSON object per line with time and level', () => {
  const line = JSON.parse(lines((log) => log.child({ area: 'db' }).info({ port: 5432 }, 'ready'))) as Record<string, unknown>;
  expect(line).toMatchObject({ level: 'info', area: 'db', port: 5432, msg: 'ready' });
  expect(new Date(line['time'] as string).getTime()).toBeGreaterThan(0);
});

test('keeps the message of our own errors and of a lost connection', () => {
  expect(describeError(new Error('disk full'))).toMatchObject({ type: 'Error', message: 'disk full' });
  expect(describeError(Object.assign(new Error('terminating connection'), { code: '57P01', severity: 'FATAL' }))).toMatchObject({ message: 'terminating connection' });
});

test.each([
  ['a PostgreSQL data error', Object.assign(new Error('invalid input syntax for type uuid: "MUSTERMANN"'), { code: '22P02', severity: 'ERROR', detail: 'MUSTERMANN' })],
  ['a PostgreSQL unique violation', Object.assign(new Error('duplicate key'), { code: '23505', severity: 'ERROR', detail: 'Key (patient_number)=(MUSTERMANN) exists', constraint: 'patients_key' })],
  ['an error of ours that repeats it', new Error('persist: bad value MUSTERMANN', { cause: Object.assign(new Error('bad value MUSTERMANN'), { code: '22007', severity: 'ERROR' }) })],
  ['slonik\'s input error', Object.assign(new Error('invalid "MUSTERMANN"'), { name: 'InvalidInputError' })],
  ['an error with the statement and its values', Object.assign(new Error('MUSTERMANN'), { sql: 'SELECT $1', values: ['MUSTERMANN'] })],
  ['unreadable JSON', (() => { try { JSON.parse('{"name": MUSTERMANN'); } catch (error) { return error as Error; } throw new Error('unreachable'); })()],
  ['a zod error', z.object({ name: z.literal('x') }).safeParse({ name: 'MUSTERMANN' }).error!],
])('leaves values out of %s', (_, error) => {
  const text = lines((log) => log.error({ err: error }, 'failed'));
  expect(text).toContain(`"type":"${error.name}"`);
  expect(text).not.toContain('MUSTERMANN');
});
