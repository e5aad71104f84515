import { expect, test } from 'vitest';
import { specificity } from './claim.ts';
import { hl7v2Config } from './config.ts';

const sender = { application: 'RIS_NORTH', facility: 'HOSP', address: '10.20.1.5' };

test.each([
  [{}, true], [{ receives: false }, false],
  [{ sending_application: ['RIS_NORTH'] }, true], [{ sending_application: ['RIS'] }, false], [{ sending_application: ['RIS_*'] }, true], [{ sending_application: ['*NORTH', 'X'] }, true],
  [{ sending_application: ['R*_N*H'] }, true], [{ sending_application: ['RIS_NORTH*RIS_NORTH'] }, false], [{ sending_application: ['.*'] }, false], [{ sending_facility: ['hosp'] }, false],
  [{ addresses: ['10.20.0.0/16'] }, true], [{ addresses: ['10.20.1.5'] }, true], [{ addresses: ['10.21.0.0/16', '::1'] }, false],
])('settings %j fit the sender: %s', (settings, fits) => { expect(specificity(hl7v2Config.parse(settings), sender) !== undefined).toBe(fits); });

test('an IPv4 address seen through an IPv6 socket is the same address', () => {
  expect(specificity(hl7v2Config.parse({ addresses: ['10.20.1.5'] }), { ...sender, address: '::ffff:10.20.1.5' })).toBeDefined();
  expect(specificity(hl7v2Config.parse({ addresses: ['fd00::/8'] }), { ...sender, address: 'fd00::1' })).toBeDefined();
  expect(specificity(hl7v2Config.parse({ addresses: ['fd00::/8'] }), sender)).toBeUndefined();
});

test.each([{ addresses: ['10.20.0.0/33'] }, { addresses: ['ris.example.org'] }, { time_zone: 'Mars/Olympus' }, { character_set: '8859/99' }, { unknown: 1 }, { port: 0 }])('%j is no setting', (settings) => {
  expect(hl7v2Config.safeParse(settings).success).toBe(false);
});
