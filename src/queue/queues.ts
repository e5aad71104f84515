/**
 * The queues, in the order a scan passes through them. Jobs carry ids only: what to do is read from the rows when the job runs.
 *
 *   complete-scan   {scan}         held back for the quiet time; marks the scan complete and queues its analyses
 *   analyze         {analysis}     one model on one scan; priority from the order
 *   report          {scan}         after the last analysis of a completion: drafts the report and fills the outbox
 *   deliver         {integration}  drains one destination's outbox in order, and tells it what becomes of its orders; never two at once for one destination
 *   check-procedure {scan}         a modality said which instances it made: completes the scan when they are all there
 *   commit-storage  {commitment}   hashes the files of a storage commitment and tells the asker, until it has heard
 *   replay-messages {replay}       receives refused messages again, one by one
 *   notify          {subscription} tells one subscriber of results, in order
 *   check-source    {scan}         asks the source how many images the scan has; completes it, waits, or has the missing ones fetched
 *   search-priors   {scan, integration}  finds earlier studies of the patient at a source, by its rule
 *   retrieve-study  {retrieval}    has a source send a study, or what is missing of one
 *   import-worklist {integration}  reads the worklist of a RIS
 *   export-records  {export}     writes a whole set of records into files for another system
 *   pull            {integration} reads what a system changed that does not send
 *   ask-commitment  {request}      asks whether an archive keeps what a delivery stored there, until it says so
 *   maintenance     {task, period}   reviews a week, measures the models of a quarter, writes the audit log into files
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
  replayMessages: { name: 'replay-messages', policy: 'short', retryLimit: 20, retryDelay: 2, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, expireInSeconds: 3_600, deadLetter: 'dead' },
  notify: { name: 'notify', policy: 'stately', retryLimit: 20, retryDelay: 2, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, expireInSeconds: 3_600, deadLetter: 'dead' },
  checkSource: { name: 'check-source', policy: 'short', retryLimit: 20, retryDelay: 2, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, expireInSeconds: 3_600, deadLetter: 'dead' },
  searchPriors: { name: 'search-priors', policy: 'short', retryLimit: 20, retryDelay: 2, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, expireInSeconds: 3_600, deadLetter: 'dead' },
  retrieveStudy: { name: 'retrieve-study', policy: 'short', retryLimit: 20, retryDelay: 2, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, expireInSeconds: 6 * 3_600, deadLetter: 'dead' },
  askCommitment: { name: 'ask-commitment', policy: 'short', retryLimit: 20, retryDelay: 2, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, expireInSeconds: 3_600, deadLetter: 'dead' },
  importWorklist: { name: 'import-worklist', policy: 'short', retryLimit: 2, retryDelay: 5, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, expireInSeconds: 3_600, deadLetter: 'dead' },
  exportRecords: { name: 'export-records', policy: 'short', retryLimit: 5, retryDelay: 2, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, expireInSeconds: 14_400, deadLetter: 'dead' },
  pull: { name: 'pull', policy: 'stately', retryLimit: 3, retryDelay: 5, retryBackoff: true, retryDelayMax: 300, heartbeatSeconds: 30, expireInSeconds: 3_600, deadLetter: 'dead' },
  maintenance: { name: 'maintenance', policy: 'short', retryLimit: 5, retryDelay: 60, retryBackoff: true, retryDelayMax: 3_600, heartbeatSeconds: 60, expireInSeconds: 6 * 3_600, deadLetter: 'dead' },
} as const satisfies Record<string, Queue & Record<string, unknown>>;

export interface CompleteScanJob { organizationId: string; scanId: string }
export interface AnalyzeJob { organizationId: string; analysisId: string }
export interface ReportJob { organizationId: string; scanId: string }
export interface DeliverJob { organizationId: string; integrationId: string }
export interface CheckProcedureJob { organizationId: string; scanId: string }
export interface ReplayMessagesJob { organizationId: string; replayId: string }
export interface NotifyJob { organizationId: string; subscriptionId: string }
/** `role` and `address` are the asker's, for the audit log. */
export interface ExportRecordsJob { organizationId: string; exportId: string; role: string; address: string }
export interface PullJob { organizationId: string; integrationId: string }
export interface CommitStorageJob { organizationId: string; commitmentId: string }
export interface CheckSourceJob { organizationId: string; scanId: string }
export interface SearchPriorsJob { organizationId: string; scanId: string; integrationId: string }
export interface RetrieveStudyJob { organizationId: string; retrievalId: string }
export interface AskCommitmentJob { organizationId: string; requestId: string }
/** `periodStart` in ISO 8601, UTC. */
export interface MaintenanceJob { organizationId: string; task: 'weekly-review' | 'model-baselines' | 'audit-archive'; periodStart: string }
export interface ImportWorklistJob { organizationId: string; integrationId: string }
