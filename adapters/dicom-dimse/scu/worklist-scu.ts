/**
 * Modality Worklist as SCU (PS3.4 annex K): what is scheduled, for a hospital whose RIS sends no HL7. Each item becomes a message for the pipeline: its
 * bytes as they came, named by study and step, so that the same item with the same bytes is a repeat.
 */
import { createHash } from 'node:crypto';
import type { AdapterContext, InboundMessage, Integration } from '#gateway/adapter.ts';
import type { QueryOutcome } from '#gateway/queries.ts';
import type { DatasetElements } from '#standards/dicom/dataset-writer.ts';
import type { Config } from '../config.ts';
import { modalityWorklist } from '../services.ts';
import { find, identifierContext } from './query.ts';
import type { FoundMatch } from './query.ts';
import { failureOf, resultOf, withAssociation } from './with-association.ts';

export const worklistItem = 'C-FIND worklist item';

export function findScheduled(integration: Integration<Config>, context: AdapterContext): Promise<QueryOutcome<readonly InboundMessage<Config>[]>> {
  const { config } = integration;
  return withAssociation(config, 'C-FIND worklist', { contexts: [identifierContext(1, modalityWorklist)] }, context.signal, async (association) => {
    const agreed = association.context(modalityWorklist);
    if (!agreed) return { result: failureOf({ kind: 'context refused', result: association.refusal(modalityWorklist) ?? 2 }) };
    const { modalities = [], most_items: mostMatches = 2_000 } = config.worklist ?? {};
    const items = new Map<string, InboundMessage<Config>>();
    let sent: Buffer | undefined, status: number | undefined = 0, isCut = false;
    for (const modality of modalities.length > 0 ? modalities : ['']) {
      const found = await find(association, agreed, worklistKeys(config, modality, context.now()), { idleMilliseconds: config.query_timeout_seconds * 1000, mostMatches, signal: context.signal });
      sent ??= found.sent;
      for (const match of found.matches) {
        const message = messageOf(match, integration, agreed.transferSyntax, context);
        items.set(`${message.controlId} ${message.sha256}`, message);
      }
      ({ status } = found);
      isCut ||= found.isCut;
      if (found.status !== 0 && !found.isCut) break;
    }
    const result = resultOf(status, [...items.values()], { isCut });
    return { result: result.kind === 'answered' && isCut ? { ...result, text: `more than ${mostMatches} items: the rest was not read (setting worklist.most_items)` } : result, count: items.size, ...(sent ? { sent } : {}) };
  });
}

/** Days in the zone of the RIS: what it calls today. */
function day(config: Config, now: Date, days: number): string {
  return new Intl.DateTimeFormat('en-CA', { timeZone: config.time_zone ?? 'UTC' }).format(new Date(now.getTime() + days * 86_400_000)).replaceAll('-', '');
}

/** Matching keys and return keys of PS3.4 table K.6-1, as far as they go to a row. */
export function worklistKeys(config: Config, modality: string, now: Date): DatasetElements {
  const { days_back: back = 0, days_ahead: ahead = 1, station_ae_title: station = '' } = config.worklist ?? {};
  const code = (): DatasetElements => ({ '(0008,0100)': null, '(0008,0102)': null, '(0008,0104)': null });
  return {
    '(0008,0050)': null, '(0008,0090)': null, '(0010,0010)': null, '(0010,0020)': null, '(0010,0021)': null, '(0010,0030)': null, '(0010,0040)': null, '(0020,000d)': null,
    '(0032,1032)': null, '(0032,1060)': null, '(0032,1064)': [code()], '(0040,1001)': null, '(0040,1002)': null, '(0040,1003)': null, '(0040,2016)': null, '(0040,2017)': null,
    '(0040,0100)': [{
      '(0008,0060)': modality || null, '(0040,0001)': station || null, '(0040,0002)': `${day(config, now, -back)}-${day(config, now, ahead)}`, '(0040,0003)': null, '(0040,0007)': null, '(0040,0008)': [code()],
      '(0040,0009)': null, '(0040,0020)': null,
    }],
  } as DatasetElements;
}

function messageOf({ identifier, bytes }: FoundMatch, integration: Integration<Config>, transferSyntaxUid: string, context: AdapterContext): InboundMessage<Config> {
  const { destination } = integration.config;
  const [step] = identifier.items(0x00400100);
  const named = [identifier.text(0x0020000d), identifier.text(0x00080050), identifier.text(0x00401001)].map((text) => text.trim()).find((text) => text !== '') ?? 'unnamed';
  return {
    integration, interaction: worklistItem, controlId: `${named} ${step?.text(0x00400009).trim() ?? ''}`.trim(), receivedAt: context.now(),
    peer: { address: destination?.host ?? '', port: destination?.port ?? 0, application: destination?.called_ae_title ?? '' },
    facts: { transferSyntaxUid, mediaType: 'application/dicom' }, head: bytes, sha256: createHash('sha256').update(bytes).digest('hex'), byteSize: bytes.length,
  };
}
