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
 *                                     |   merge.ts             who is whom after all; unmerge.ts takes it back, correct-identity.ts at those who were told
 *   sender hears  <--- answer --------+
 *                                     |  job complete-scan, held back for the quiet time
 *                                     v
 *                               complete.ts          the proof that fired; rules.ts chooses the models; own-results.ts: what comes back is no news
 *                                     |   completeness-at-source.ts   asks the source how many images there are (C-FIND, QIDO-RS)
 *                                     |   priors.ts, retrieve-study.ts    earlier studies, missing images: they come in by the door above
 *                                     |   worklist-import.ts   orders of a RIS without HL7, by the same door
 *                                     |  job analyze, by priority
 *                                     v
 *                               analyze.ts (T3)      ai/ runs the model; ai_analyses, findings; outbound-images.ts: what leaves to models of others
 *                                     |  job report
 *                                     v
 *                               report.ts (T4)       draft report, one outbox row per destination
 *                                     |  job deliver, one destination at a time
 *                                     v
 *                               deliver.ts (T5)  --> adapters/x delivers: C-STORE SR, ORU^R01, DiagnosticReport
 *                                     |   confirmations.ts   storage commitment: does the archive keep it?
 *                               subscriptions.ts --> adapters/x tells who asked to hear of results (an event in T4, job notify)
 *
 * writes.ts is persist.ts for messages that belong together (a FHIR transaction): one commit for all of them, and conditions judged inside it.
 * congestion.ts says whether there is room for more before an association begins; associations.ts keeps who called and how it ended.
 * arrivals.ts keeps who may still bring images of a scan: an open association, one that broke off, those of before a restart. complete.ts waits for them.
 * decide-version.ts is what a person decides about images that are kept out of use. commands.ts is what a person does: pause.ts holds a system off, replay-messages.ts (a job) receives refused messages again (receive-again.ts; overtaken.ts keeps
 * an older one from undoing a newer one), parked reports are sent again.
 * exports.ts writes whole sets of records into files for a system that asks (job export-records); pulls.ts reads what a system changed that does not
 * send, and hands it to receive.ts (job pull).
 * order-status.ts tells who placed an order how it goes, in one line with the results: rows that the database writes when a scan changes (order_notices).
 * maintenance-runs.ts reviews each week, measures the models of each quarter, and writes the audit log into files where it is wanted (job maintenance).
 * maintain.ts heals what was lost between two boxes; recover.ts makes files and rows agree after a crash.
 */
export { createAnswerRecorder, type AnswerRecorder } from './answers.ts';
export { createArrivals } from './arrivals.ts';
export { createAssociationLog } from './associations.ts';
export { createClientTokens } from './client-tokens.ts';
export { operatorCommands, type Decision, type OperatorCommands } from './commands.ts';
export { forceComplete } from './complete.ts';
export { modelConfigProblems, ruleProblems, templateProblems, type ConfigurationProblem } from './configuration-checks.ts';
export { startMaintenance } from './maintain.ts';
export { lastPeriod, runTask } from './maintenance-runs.ts';
export { watchCongestion } from './congestion.ts';
export { createCommitments } from './commitments.ts';
export { decideVersion, type VersionDecision } from './decide-version.ts';
export { createExports, tidyExportsAtTimes } from './exports.ts';
export { createConfirmations } from './confirmations.ts';
export { createHoldings } from './holdings.ts';
export { createImages } from './images.ts';
export { createInboundHealth } from './inbound-health.ts';
export { restoreIdentity } from './outbound-images.ts';
export { createPersist } from './persist.ts';
export { createProcedures } from './procedures.ts';
export { createReceive } from './receive.ts';
export { createReceiveAgain } from './receive-again.ts';
export { startPulls, type PullSource } from './pulls.ts';
export { createRecords } from './records.ts';
export { createSubscriptions } from './subscriptions.ts';
export { refuseWhilePaused, refuseWritesWhilePaused } from './pause.ts';
export { requestPriors, type PriorsRequest } from './priors.ts';
export { createSources } from './sources.ts';
export { recoverObjects } from './recover.ts';
export { watchSources } from './watch-sources.ts';
export { watchStorage } from './storage-alerts.ts';
export { undoMerge, type Unmerged } from './unmerge.ts';
export { withdrawReport, type Withdrawal } from './withdraw-report.ts';
export { watchUnreferenced } from './unreferenced.ts';
export { startWorkers, type Workers } from './workers.ts';
export { createWrites } from './writes.ts';
