/**
 * One watched folder: files go in, messages go to receive as if they had come by MLLP, answers stand beside as <name>.ack, and the file moves on.
 *
 *   complete file -> messages -> receive (commit) -> <name>.ack -> done/ | refused/
 *
 * The file stays where it is until its messages are committed and its answer is durable. When the gateway ends in between, the file is taken
 * again: every message is then a repeat, is answered as before and has no second effect. Nothing is deleted.
 *
 * Complete is a file that was renamed into the folder, or whose size and time have not changed for a while; names that begin with a dot or end
 * in .tmp, .part or .filepart are still being written. A batch file (FHS) is complete with its FTS.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import type { Stats } from 'node:fs';
import { lstat, open, readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import type { AdapterContext, Integration, InboundMessage, Receive, Refusal } from '#gateway/adapter.ts';
import type { Write } from '#gateway/records.ts';
import { splitFrame } from '#standards/hl7v2/batch.ts';
import { Hl7ParseError } from '#standards/hl7v2/parse.ts';
import { failpoint } from '#src/failpoint.ts';
import type { Hl7v2Config } from '../config.ts';
import { FrameTooLargeError, MllpDecoder, maximumFrameBytes } from '../mllp.ts';
import { receiveFrame } from '../receive-frame.ts';
import type { Answer } from '../receive-frame.ts';
import { codeOf, openPlaces, syncDirectory, writeWhole } from './places.ts';
import type { Places } from './places.ts';

export interface InboxLimits {
  /** How long size and time of a file must not have changed. */
  readonly stableMilliseconds: number;
  /** How long a file that is empty, or a batch file without its end, is waited for. */
  readonly incompleteMilliseconds: number;
  readonly fileBytes: number;
  /** Until a file is tried again that the gateway could not store. */
  readonly retryMilliseconds: number;
}

export const defaultInboxLimits: InboxLimits = { stableMilliseconds: 2_000, incompleteMilliseconds: 60_000, fileBytes: 64 * 1024 * 1024, retryMilliseconds: 5_000 };

interface Seen { readonly size: number; readonly modified: number; readonly since: number; retryAt: number; problem?: string; failures?: number }
type Verdict = 'done' | 'refused' | 'wait' | 'retry';

/** What is put around a name, in the answer and in done/, fits in the 255 bytes that file systems have. */
const longestNameBytes = 200;
const unfinishedName = /^\.|\.(?:ack|tmp|part|partial|filepart|writing)$|~$/i;

export class Inbox {
  readonly #integration: Integration<Hl7v2Config>;
  readonly #root: string;
  readonly #receive: Receive;
  readonly #context: AdapterContext;
  readonly #limits: InboxLimits;
  #seen = new Map<string, Seen>();

  constructor(integration: Integration<Hl7v2Config>, root: string, receive: Receive, context: AdapterContext, limits: InboxLimits) {
    // Who may write to the folder is decided by the file system: there is neither address nor certificate.
    this.#integration = { ...integration, config: { ...integration.config, addresses: [], tls_subjects: [] } };
    this.#root = root; this.#receive = receive; this.#context = context; this.#limits = limits;
  }

  /** Takes every complete file, the oldest first, until `stopped`. Throws FolderError when the folder cannot be used. */
  async look(stopped: () => boolean): Promise<void> {
    const places = await openPlaces(this.#root, this.#integration.config.folder ?? '');
    const seen = new Map<string, Seen>();
    for (const { name, stats } of await filesOf(places)) {
      if (stopped()) return;
      const state = this.#stateOf(name, stats);
      seen.set(name, state);
      if (stats.isFile() && !this.#isDue(stats, state)) continue;
      const verdict = await this.#tryTake(places, name, stats, state);
      if (verdict === 'retry') { state.retryAt = Date.now() + this.#limits.retryMilliseconds; break; } // what came later builds on it
      if (verdict !== 'wait') seen.delete(name);
    }
    this.#seen = seen;
  }

  #stateOf(name: string, { size, mtimeMs }: Stats): Seen {
    const known = this.#seen.get(name);
    return known?.size === size && known.modified === mtimeMs ? known : { size, modified: mtimeMs, since: Date.now(), retryAt: 0 };
  }

  /** A second name (hard link) is how some senders rename: it is waited for until it is gone. */
  #isDue(stats: Stats, { since, retryAt }: Seen): boolean {
    const now = Date.now();
    return stats.nlink === 1 && now - since >= this.#limits.stableMilliseconds && now >= retryAt && (stats.size > 0 || this.#isGivenUp(since));
  }

  #isGivenUp(since: number): boolean { return Date.now() - since >= this.#limits.incompleteMilliseconds; }

  /** A file that cannot be read or moved must not hold up the folder: it is tried again, and a person is told why once. */
  async #tryTake(places: Places, name: string, stats: Stats, state: Seen): Promise<Verdict> {
    try {
      return await this.#take(places, name, stats, state);
    } catch (error) {
      const problem = codeOf(error);
      if (state.problem !== problem) this.#context.log.error({ integrationId: this.#integration.integrationId, problem }, 'a file in a watched folder cannot be taken; it is tried again and the others go on');
      state.problem = problem;
      // Ever more seldom: its messages may be committed, and then each try is a repeat on record.
      state.failures = (state.failures ?? 0) + 1;
      state.retryAt = Date.now() + this.#limits.retryMilliseconds * 2 ** Math.min(state.failures - 1, 6);
      return 'wait';
    }
  }

  async #take(places: Places, name: string, stats: Stats, state: Seen): Promise<Verdict> {
    if (!stats.isFile()) return this.#refuse(places, name, Buffer.alloc(0), 'The entry is a link or device and no file; it was not read');
    if (Buffer.byteLength(name) > longestNameBytes) return this.#refuse(places, name, Buffer.alloc(0), `The name of the file is longer than ${longestNameBytes} bytes: its answer could not be named after it`);
    const bytes = await readUnchanged(path.join(places.inbox, name), stats, this.#limits.fileBytes);
    if (bytes === undefined) return 'wait';
    if (bytes === 'too large') return this.#refuse(places, name, Buffer.alloc(0), `The file is larger than ${this.#limits.fileBytes} bytes`);
    if (bytes.length === 0) return this.#refuse(places, name, bytes, 'The file is empty');
    if (isOpenBatch(bytes)) return this.#isGivenUp(state.since) ? this.#refuse(places, name, bytes, 'The batch file (FHS) has no end (FTS): it is not complete') : 'wait';
    return this.#receiveFile(places, name, bytes);
  }

  async #receiveFile(places: Places, name: string, bytes: Buffer): Promise<Verdict> {
    const outcome = new Set<string>();
    const receive: Receive = async (message, refusal) => {
      const receipt = await this.#receive({ ...message, facts: { ...message.facts, file: name.slice(0, 255) } } as InboundMessage<never>, refusal);
      outcome.add(receipt.kind === 'duplicate' && /[ER]$/.test(receipt.answerCode ?? '') ? 'rejected' : receipt.kind);
      return receipt;
    };
    const { writes } = this.#context;
    const together = writes && (async (asked: readonly Write[]) => {
      const written = await writes.together(asked.map((write) => ({ ...write, message: { ...write.message, facts: { ...write.message.facts, file: name.slice(0, 255) } } as InboundMessage<never> })));
      if (written.kind !== 'rejected') outcome.add(written.kind); // what is rejected is put on record by receive
      return written;
    });
    const to = { integrations: () => [this.#integration], receive, together, now: () => this.#context.now(), onError: () => { outcome.add('failed'); } };
    const frames = framesOf(bytes);
    if (typeof frames === 'string') return this.#refuse(places, name, bytes, frames);
    const answers: Answer[] = [];
    for (const frame of frames) {
      answers.push(...await receiveFrame(frame, this.#peer, to));
      if (outcome.has('failed')) { for (const answer of answers) answer.heard(false); return 'retry'; }
    }
    failpoint('folder.committed');
    return this.#finish(places, name, answers, outcome.has('rejected') ? 'refused' : 'done');
  }

  /** The answer first, so that a file that is gone has been answered. */
  async #finish(places: Places, name: string, answers: readonly Answer[], verdict: 'done' | 'refused'): Promise<Verdict> {
    const isHeard = answers.length > 0;
    if (isHeard) await writeWhole(places.inbox, `${name}.ack`, Buffer.concat(answers.map(({ bytes }) => bytes)));
    for (const answer of answers) answer.heard(isHeard);
    failpoint('folder.answered');
    await this.#move(places, name, verdict);
    return verdict;
  }

  /** Time and a random part keep a file of the same name that is there already. */
  async #move(places: Places, name: string, verdict: 'done' | 'refused'): Promise<void> {
    const stamp = this.#context.now().toISOString().replaceAll(/[-:.]/g, '');
    const target = `${stamp}-${crypto.randomUUID().slice(0, 8)}-${Buffer.byteLength(name) > longestNameBytes ? 'name-too-long' : name}`;
    await rename(path.join(places.inbox, name), path.join(places[verdict], target)).catch((error: unknown) => { if (codeOf(error) !== 'ENOENT') throw error; });
    await syncDirectory(places[verdict]);
    await syncDirectory(places.inbox);
  }

  /** What holds no message: on record with its first bytes, no answer, and out of the way. */
  async #refuse(places: Places, name: string, bytes: Buffer, text: string): Promise<Verdict> {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const refusal: Refusal = { reason: 'malformed', text };
    const receipt = await this.#receive({
      integration: this.#integration, interaction: 'unreadable', controlId: `sha256:${sha256.slice(0, 16)}`, peer: this.#peer, receivedAt: this.#context.now(),
      facts: { file: name.slice(0, 255) }, head: bytes.subarray(0, 4096), sha256, byteSize: bytes.length,
    }, refusal);
    if (receipt.kind === 'failed') return 'retry';
    receipt.answered('none', false);
    await this.#move(places, name, 'refused');
    return 'refused';
  }

  get #peer(): { address: string; port: number } { return { address: `folder:${this.#integration.config.folder ?? ''}`, port: 0 }; }
}

async function filesOf({ inbox }: Places): Promise<{ name: string; stats: Stats }[]> {
  const found: { name: string; stats: Stats }[] = [];
  for (const name of await readdir(inbox)) {
    if (unfinishedName.test(name)) continue;
    const stats = await lstat(path.join(inbox, name)).catch(() => undefined);
    if (stats && !stats.isDirectory()) found.push({ name, stats });
  }
  return found.toSorted((a, b) => a.stats.mtimeMs - b.stats.mtimeMs || (a.name < b.name ? -1 : 1));
}

/** Undefined: it is another file than was looked at, or it changed while it was read. */
async function readUnchanged(file: string, before: Stats, most: number): Promise<Buffer | 'too large' | undefined> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch((error: unknown) => {
    if (['ENOENT', 'ELOOP'].includes(codeOf(error))) return undefined;
    throw error;
  });
  if (!handle) return undefined;
  const isSame = (stats: Stats): boolean => stats.isFile() && stats.ino === before.ino && stats.size === before.size && stats.mtimeMs === before.mtimeMs;
  try {
    if (!isSame(await handle.stat())) return undefined;
    if (before.size > most) return 'too large';
    const bytes = await handle.readFile();
    return isSame(await handle.stat()) && bytes.length === before.size ? bytes : undefined;
  } finally {
    await handle.close();
  }
}

/** The file as frames: MLLP blocks where it has them, else all of it. A text says what is wrong. */
function framesOf(bytes: Buffer): readonly Buffer[] | string {
  try {
    const decoder = new MllpDecoder();
    const frames = bytes[0] === 0x0b ? decoder.push(Buffer.concat([bytes, Buffer.of(0x1c, 0x0d)])) : [bytes];
    return frames.some(hasLargeMessage) ? `A message is larger than ${maximumFrameBytes} bytes` : frames;
  } catch (error) {
    if (error instanceof FrameTooLargeError) return error.message;
    throw error;
  }
}

function hasLargeMessage(frame: Buffer): boolean {
  if (frame.length <= maximumFrameBytes) return false;
  try {
    return splitFrame(frame).messages.some((message) => message.length > maximumFrameBytes);
  } catch (error) {
    if (error instanceof Hl7ParseError) return true; // not worth reading
    throw error;
  }
}

function isOpenBatch(bytes: Buffer): boolean {
  const start = bytes.toString('latin1', 0, 16).replace(/^[^A-Z]*/, '');
  return start.startsWith('FHS') && !/[\r\n]FTS/.test(bytes.toString('latin1', Math.max(0, bytes.length - 4096)));
}
