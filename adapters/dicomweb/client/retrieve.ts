/**
 * Images fetched by WADO-RS (PS3.18 10.4). In: a study, or its images by name. Out: each object on disk and committed by the ordinary way in, as if it had
 * been sent; nothing is held but the chunk that passes.
 *
 *     study   GET studies/{study}                     -> part -> part -> ...       cut off: what came is here; the next attempt asks for the rest by name
 *     by name GET studies/{s}/series/{s}/instances/{i} -> one part, a few at once   404: failed, the others go on; 429, 503: waited for where it is short
 *
 * Asked for as they are stored (transfer-syntax=*); a server that does not know that is asked without.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { isUsableUid } from '#domain/usable-uid.ts';
import type { AdapterContext, Integration, Receive } from '#gateway/adapter.ts';
import type { FoundInstance, QueryOutcome, Retrieved, StudyReference } from '#gateway/queries.ts';
import type { Config } from '../config.ts';
import { failureByStatus, type Failure } from '../failure.ts';
import type { DicomwebClient, OpenAnswer } from '../web-client.ts';
import { asked, resultOf, type Asked } from './ask.ts';
import { uidPath } from './search.ts';
import { takeAnswer, type Taken, type Taking } from './take-answer.ts';

export type Selection = StudyReference & { readonly instances?: readonly FoundInstance[] };
export const retrieveInteractions = { study: 'WADO-RS study', instances: 'WADO-RS instances' };

export const asStored = 'multipart/related; type="application/dicom"; transfer-syntax=*', asItLikes = 'multipart/related; type="application/dicom"';
const instancesAtOnce = 3;
/** A server that asks for more time than this gets it between attempts. */
const mostWaitMilliseconds = 30_000, mostWaits = 5;

export function retrieve(selection: Selection, integration: Integration<Config>, receive: Receive, context: AdapterContext): Promise<QueryOutcome<Retrieved>> {
  const { studyInstanceUid: study, instances } = selection;
  const paths = instances?.filter((named) => isUsableUid(named.seriesInstanceUid) && isUsableUid(named.sopInstanceUid)).map(({ seriesInstanceUid, sopInstanceUid }) => ({ path: uidPath(study, seriesInstanceUid, sopInstanceUid), sopInstanceUid }));
  return asked(integration, instances ? retrieveInteractions.instances : retrieveInteractions.study, paths?.[0]?.path ?? uidPath(study), async (client) => {
    if (!isUsableUid(study)) return { result: { kind: 'refused', answerCode: 'uid', text: 'the Study Instance UID is not a UID: it cannot stand in an address' } };
    const retrieval = new Retrieval(client, { integration, receive, context, study });
    await (paths ? retrieval.each(paths) : retrieval.one(uidPath(study)));
    return retrieval.end();
  });
}

interface Wanted { readonly path: string; readonly sopInstanceUid: string }

class Retrieval {
  readonly #client: DicomwebClient;
  readonly #taking: Omit<Taking, 'sopInstanceUid'>;
  #completed = 0;
  #failed = 0;
  #accept = asStored;
  #waits = 0;
  /** Nothing more is asked. */
  #over: Failure | undefined;
  /** What a single image was refused for; the others go on. */
  #refusal: string | undefined;

  constructor(client: DicomwebClient, taking: Omit<Taking, 'sopInstanceUid'>) {
    this.#client = client;
    this.#taking = taking;
  }

  /** The images by name, a few at once. */
  async each(wanted: readonly Wanted[]): Promise<void> {
    const waiting = wanted.values();
    const work = async (): Promise<void> => {
      for (const { path, sopInstanceUid } of waiting) {
        if (this.#over) return;
        await this.one(path, sopInstanceUid);
      }
    };
    await Promise.all(Array.from({ length: instancesAtOnce }, work));
  }

  async one(path: string, sopInstanceUid?: string): Promise<void> {
    const full = await this.#taking.context.congestion?.();
    if (full !== undefined) return this.#end({ kind: 'unreachable', answerCode: 'full', text: `nothing is fetched now: ${full}` });
    const opened = await this.#open(path);
    if ('failure' in opened) return this.#judge(opened.failure, sopInstanceUid);
    const { config } = this.#taking.integration;
    const taken = await takeAnswer(opened.answer, { ...this.#taking, ...(sopInstanceUid === undefined ? {} : { sopInstanceUid }) }, config.maximum_parts);
    this.#count(taken, sopInstanceUid);
  }

  /** Resolves with an answer that holds objects. */
  async #open(path: string): Promise<{ readonly answer: OpenAnswer } | { readonly failure: Failure }> {
    const { integration: { config }, context } = this.#taking;
    for (;;) {
      const accept = this.#accept;
      const opened = await this.#client.open({ method: 'GET', path, headers: { accept } }, context.signal, config.retrieve_timeout_seconds * 1000);
      if ('failure' in opened) return opened;
      const { answer } = opened, { status } = answer;
      if (status === 200 || status === 206) return opened;
      answer.end();
      if (accept === asStored && (status === 400 || status === 406 || status === 415)) {
        this.#accept = asItLikes;
        continue;
      }
      const failure = status < 300 && status >= 200 ? { kind: 'refused' as const, answerCode: String(status), text: `HTTP ${status}: the server has nothing to send` } : failureByStatus(status, answer.retryAfter, context.now(), 'retrieve');
      if (!await this.#waited(failure)) return { failure };
    }
  }

  /** True: the server asked for a short while, which is over. */
  async #waited({ kind, retryAfterMilliseconds: milliseconds }: Failure): Promise<boolean> {
    if (kind !== 'unreachable' || milliseconds === undefined || milliseconds > mostWaitMilliseconds || this.#over) return false;
    this.#waits += 1;
    if (this.#waits > mostWaits) return false;
    const { signal } = this.#taking.context;
    return pause(milliseconds, true, { signal }).catch(() => false);
  }

  #judge(failure: Failure, sopInstanceUid: string | undefined): void {
    const isOnly = sopInstanceUid !== undefined && ['404', '406', '410'].includes(failure.answerCode);
    if (!isOnly) return this.#end(failure);
    this.#failed += 1;
    this.#refusal ??= failure.text;
  }

  #count({ stored, refused, failure, refusal }: Taken, sopInstanceUid: string | undefined): void {
    this.#completed += stored;
    this.#failed += refused;
    this.#refusal ??= refusal;
    if (stored > 0) this.#waits = 0;
    if (failure) this.#end(failure);
    else if (stored + refused === 0) this.#judge({ kind: 'refused', answerCode: '404', text: 'the answer holds no object' }, sopInstanceUid);
  }

  /** The first reason is the one that counts: it may have caused the others. */
  #end(failure: Failure): void { this.#over ??= failure; }

  end(): Asked<Retrieved> {
    const count = this.#completed, until = count > 0 ? `; ${count} images until then` : '';
    if (this.#over) return { count, result: resultOf({ ...this.#over, text: `${this.#over.text}${until}` }) };
    const value = { completed: this.#completed, failed: this.#failed, warning: 0, byReceive: true };
    return { count, result: { kind: 'answered', answerCode: '200', value, ...(this.#refusal === undefined ? {} : { text: `${this.#failed} not taken: ${this.#refusal}` }) } };
  }
}
