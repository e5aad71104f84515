/** Appointments: SIU^S12 to S17 and S26 (HL7 v2.5.1 ch. 10). They move the date of a study that was ordered before; they order nothing. */
import { NormalizeError } from '#gateway/adapter.ts';
import type { StoredMessage } from '#gateway/adapter.ts';
import type { Mapper, MappingWarning, Normalized, ScheduleRow } from '#gateway/normalized.ts';
import { hl7Reader } from '#standards/hl7v2/reader.ts';
import type { Hl7Message } from '#standards/hl7v2/parse.ts';
import type { Hl7v2Config } from './config.ts';
import { withChosenIdentifiers } from './chosen-identifiers.ts';
import { foldRows, fullDate, mapSettings, patientRow, scanReference } from './rows.ts';

export const scheduleInteractions: readonly string[] = ['S12', 'S13', 'S14', 'S15', 'S16', 'S17', 'S26'].map((event) => `SIU^${event}`);

export function normalizeSchedule(parsed: Hl7Message, message: StoredMessage<Hl7v2Config>, map: Mapper): Normalized {
  const { config } = message.integration;
  const reader = hl7Reader(parsed);
  const who = map(config.adt_mapping, reader, mapSettings(config));
  const patient = withChosenIdentifiers(patientRow(who), config);
  if (patient.identifiers.length === 0) throw new NormalizeError('invalid', 'PID-3 is required: the appointment does not say whose it is', 'PID-3');
  const mapped = map(config.schedule_mapping, reader, mapSettings(config));
  const warnings: MappingWarning[] = [...parsed.warnings, ...who.warnings, ...mapped.warnings];
  const row = foldRows(mapped.rows['scans']);
  const schedule = { ...scanReference(row), control: row['control'], ...fullDate(row['scheduled_at'], warnings) } as ScheduleRow;
  return {
    authority: 'order', patient, schedule, mapping: mapped.mapping, warnings,
    trace: () => [...who.trace().filter(({ outcome }) => outcome !== 'unmapped'), ...mapped.trace()],
  };
}
