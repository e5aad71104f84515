/** Writes the answer legs of inbound exchanges in batches, behind the senders' backs: an answer on the wire waits for no second commit. */
import { recordAnswers, type AnswerRow } from '../db/exchanges.ts';
import type { Database } from '../db/pool.ts';
import type { Log } from '../log.ts';

const DELAY_MILLISECONDS = 100;
const MAXIMUM_WAITING = 100_000;

export interface AnswerRecorder {
  record(organizationId: string, row: AnswerRow): void;
  /** Resolves when everything recorded so far is written or given up. */
  flush(): Promise<void>;
}

export function createAnswerRecorder(database: Database, log: Log): AnswerRecorder {
  const waiting = new Map<string, AnswerRow[]>();
  let count = 0;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();

  const write = async (): Promise<void> => {
    timer = undefined;
    const taken = new Map(waiting);
    waiting.clear();
    count = 0;
    for (const [organizationId, rows] of taken) {
      // Only the record of the answer is lost here, never a message: the exchange stays 'unanswered'.
      await recordAnswers(database, organizationId, rows).catch((error: unknown) => log.warn({ err: error, rows: rows.length }, 'answers could not be recorded'));
    }
  };
  return {
    record(organizationId, row) {
      if (count >= MAXIMUM_WAITING) return;
      count += 1;
      const rows = waiting.get(organizationId);
      if (rows) rows.push(row);
      else waiting.set(organizationId, [row]);
      timer ??= setTimeout(() => { running = running.then(write); }, DELAY_MILLISECONDS);
    },
    async flush() {
      clearTimeout(timer);
      running = running.then(write);
      await running;
    },
  };
}
