/**
 * The queues, in the order a scan passes through them. Jobs carry ids only: what to do is read from the rows when the job runs.
 *
 *   complete-scan   {scan}         held back for the quiet time; marks the scan complete and queues its analyses
 *   analyze         {analysis}     one model on one scan; priority from the order
 *   report          {scan}         after the last analysis of a completion: drafts the report and fills the outbox
 *   deliver         {integration}  drains one destination's outbox in order; never two at once for one destination
 *   check-procedure {scan}         a modality said which instances it made: completes the scan when they are all there
 *   commit-storage  {commitment}   hashes the files of a storage commitment and tells the asker, until it has heard
 *   dead            what failed for good, with where it came from: a person looks
 */
import type { Queue } from 'pg-boss';

export const QUEUES = {
  dead: { name: 'dead', policy: 'standard', retryLimit: 0, retentionSeconds: 90 * 86_400 },
  completeScan: { name: 'complete-scan', policy: 'short', retryLimit: 20, retryDelay: 2, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, deadLetter: 'dead' },
  analyze: { name: 'analyze', policy: 'standard', retryLimit: 5, retryDelay: 5, retryBackoff: true, retryDelayMax: 600, heartbeatSeconds: 15, expireInSeconds: 3_600, deadLetter: 'dead' },
  report: { name: 'report', policy: 'standard', retryLimit: 20, retryDelay: 2, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, deadLetter: 'dead' },
  deliver: { name: 'deliver', policy: 'stately', retryLimit: 20, retryDelay: 2, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, expireInSeconds: 3_600, deadLetter: 'dead' },
  checkProcedure: { name: 'check-procedure', policy: 'short', retryLimit: 20, retryDelay: 2, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, deadLetter: 'dead' },
  commitStorage: { name: 'commit-storage', policy: 'short', retryLimit: 20, retryDelay: 2, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, expireInSeconds: 3_600, deadLetter: 'dead' },
} as const satisfies Record<string, Queue & Record<string, unknown>>;

export interface CompleteScanJob { organizationId: string; scanId: string }
export interface AnalyzeJob { organizationId: string; analysisId: string }
export interface ReportJob { organizationId: string; scanId: string }
export interface DeliverJob { organizationId: string; integrationId: string }
export interface CheckProcedureJob { organizationId: string; scanId: string }
export interface CommitStorageJob { organizationId: string; commitmentId: string }
