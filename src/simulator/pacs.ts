/** A PACS on loopback: pushes studies to the gateway by C-STORE and receives the gateway's results by C-STORE. */
import type { Ledger } from './ledger.ts';
import { sha256Of } from './ledger.ts';
import type { SendableObject } from './part10-file.ts';
import { StoreScp } from './store-scp.ts';
import { storeObjects } from './store-scu.ts';
import type { StoreAnswer, StoreOptions } from './store-scu.ts';

export interface PacsOptions {
  /** Where results are received; 0 takes any port. */
  readonly port?: number;
  readonly aeTitle?: string;
  readonly gateway: { readonly host: string; readonly port: number; readonly aeTitle: string };
  readonly ledger?: Ledger;
}

export class Pacs {
  readonly aeTitle: string;
  readonly #options: PacsOptions;
  readonly #scp: StoreScp;

  private constructor(options: PacsOptions, scp: StoreScp) {
    this.#options = options;
    this.#scp = scp;
    this.aeTitle = options.aeTitle ?? 'NORTHPACS';
  }

  static async start(options: PacsOptions): Promise<Pacs> {
    return new Pacs(options, await StoreScp.start(options.port));
  }

  get port(): number { return this.#scp.port; }
  get received(): StoreScp['received'] { return this.#scp.received; }
  get behaviour(): StoreScp['behaviour'] { return this.#scp.behaviour; }

  async store(objects: readonly SendableObject[], options: StoreOptions = {}): Promise<readonly StoreAnswer[]> {
    const { host, port, aeTitle } = this.#options.gateway;
    const datasets = new Map(objects.map((object) => [object.sopInstanceUid, object.dataset]));
    const record = (answer: StoreAnswer): void => this.#options.ledger?.append(entryOf(answer, datasets.get(answer.sopInstanceUid) ?? Buffer.alloc(0)));
    const target = { host, port, callingAeTitle: this.aeTitle, calledAeTitle: aeTitle };
    const answered: StoreOptions['answered'] = (answer, done, total) => { record(answer); options.answered?.(answer, done, total); };
    const answers = await storeObjects(objects, target, { ...options, answered });
    for (const answer of answers) if (answer.status === undefined) record(answer);
    return answers;
  }

  async stop(): Promise<void> { await this.#scp.stop(); }
}

/** Warnings (Bxxx) are stored too (PS3.4 B.2.3). */
export function isStored(status: number | undefined): boolean {
  return status === 0 || (status !== undefined && status >> 12 === 0xb);
}

function entryOf({ sopInstanceUid, status }: StoreAnswer, dataset: Buffer): Parameters<Ledger['append']>[0] {
  return {
    id: sopInstanceUid, sha256: sha256Of(dataset), told: status === undefined ? 'nothing' : isStored(status) ? 'accepted' : 'refused',
    code: status === undefined ? '' : status.toString(16).padStart(4, '0').toUpperCase(), at: new Date().toISOString(),
  };
}
