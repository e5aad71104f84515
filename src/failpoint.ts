/**
 * Named crash points on the write path. `failpoint('store.afterFsync')` does nothing unless MEDSCAN_FAILPOINTS names it, e.g.
 * `MEDSCAN_FAILPOINTS=store.afterFsync@3` kills this process with SIGKILL the third time the point is passed. The crash tests
 * (test/faults) use them to stop the gateway exactly between two steps of a promise; nothing else may.
 */
const armed = new Map<string, number>(
  (process.env['MEDSCAN_FAILPOINTS'] ?? '').split(',').filter(Boolean).map((entry) => {
    const [name = '', nth = '1'] = entry.split('@');
    return [name, Number(nth)];
  }),
);

export function failpoint(name: string): void {
  if (armed.size === 0) return;
  const left = armed.get(name);
  if (left === undefined) return;
  if (left <= 1) process.kill(process.pid, 'SIGKILL');
  armed.set(name, left - 1);
}
