/**
 * The pipeline, drawn. Bytes enter through an adapter, are on disk and in one transaction before the sender hears yes; everything after
 * that is a job whose input and output are rows.
 *
 *   adapters/x receives            receive.ts        the only door: one exchange row per message, refused ones too
 *        |                            |
 *        |  adapter.normalize      mapping/          declarative files -> rows + trace
 *        v                            v
 *   durable bytes  ---------->  persist.ts (T2)      patients, scans, scan_files, sync_logs, audit_logs, job: one commit, shared by many
 *                                     |   identify.ts          who is this, over three protocols
 *   sender hears  <--- answer --------+
 *                                     |  job complete-scan, held back for the quiet time
 *                                     v
 *                               complete.ts          the proof that fired; rules.ts chooses the models
 *                                     |  job analyze, by priority
 *                                     v
 *                               analyze.ts (T3)      ai/ runs the model; ai_analyses, findings
 *                                     |  job report
 *                                     v
 *                               report.ts (T4)       draft report, one outbox row per destination
 *                                     |  job deliver, one destination at a time
 *                                     v
 *                               deliver.ts (T5)  --> adapters/x delivers: C-STORE SR, ORU^R01, DiagnosticReport
 *
 * maintain.ts heals what was lost between two boxes; recover.ts makes files and rows agree after a crash.
 */
export { createAnswerRecorder, type AnswerRecorder } from './answers.ts';
export { createClientTokens } from './client-tokens.ts';
export { forceComplete } from './complete.ts';
export { startMaintenance } from './maintain.ts';
export { createCommitments } from './commitments.ts';
export { createHoldings } from './holdings.ts';
export { createInboundHealth } from './inbound-health.ts';
export { createPersist } from './persist.ts';
export { createProcedures } from './procedures.ts';
export { createReceive } from './receive.ts';
export { createRecords } from './records.ts';
export { recoverObjects } from './recover.ts';
export { watchStorage } from './storage-alerts.ts';
export { watchUnreferenced } from './unreferenced.ts';
export { startWorkers, type Workers } from './workers.ts';
