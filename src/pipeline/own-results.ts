/**
 * What the gateway sent into a study itself, and an archive sends back. In: a scan. Out: the series of its results, by which each of their instances is
 * known: they are kept as images are, but are no reason for another analysis.
 */
import { reportsMadeOf } from '../db/reports.ts';
import type { Transaction } from '../db/transaction.ts';
import { resultSeriesUid } from '#standards/dicom/result-modules.ts';

export async function resultSeriesOf(tx: Transaction, scanId: string): Promise<ReadonlySet<string>> {
  return new Set((await reportsMadeOf(tx, scanId)).flatMap((report) => (['sr', 'sc', 'pdf'] as const).map((kind) => resultSeriesUid(kind, report))));
}
