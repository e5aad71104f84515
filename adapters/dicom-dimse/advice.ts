import type { ScuOutcome } from './upper-layer/dimse-scu.ts';
import { statusCode, statusPhrase } from './status.ts';

/** What a refused or failed request means, and what a person can do about it; the same words in the connection test and in an exchange. */
export interface Explanation { readonly text: string; readonly advice: string }

const rejections: Readonly<Record<string, Explanation>> = {
  '1/1': { text: 'no reason given', advice: 'Ask the administrator of the receiver; its log says why.' },
  '1/2': { text: 'application context not supported', advice: 'The other side does not speak DICOM as of 1993 or later.' },
  '1/3': { text: 'calling AE title not recognized', advice: 'Add the gateway\'s AE title (calling_ae_title) and address to the AE list of the receiver.' },
  '1/7': { text: 'called AE title not recognized', advice: 'Check called_ae_title: it must be the receiver\'s own AE title, with its upper and lower case.' },
  '2/1': { text: 'no reason given', advice: 'Ask the administrator of the receiver; its log says why.' },
  '2/2': { text: 'protocol version not supported', advice: 'Check that host and port lead to a DICOM service.' },
  '3/1': { text: 'temporary congestion', advice: 'The receiver has too many associations open; it is tried again.' },
  '3/2': { text: 'local limit exceeded', advice: 'The receiver allows fewer associations; it is tried again, or its limit must be raised.' },
};

const connectionFailures: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, 'Nothing listens there: check host and port, and whether the receiver runs.'],
  [/ENOTFOUND|EAI_AGAIN/, 'The host name is not known: check host, or the name server.'],
  [/ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|no answer to the association/, 'Nothing answers: check the address, the network and the firewalls between.'],
  [/certificate|CERT|SSL|TLS|self.signed/i, 'The TLS handshake failed: check the certificates, and whether the receiver speaks TLS on this port.'],
];

/** Undefined: the request was answered, and its status is the answer. */
export function explain(outcome: ScuOutcome): Explanation {
  switch (outcome.kind) {
    case 'answered': return { text: `${statusCode(outcome.status)} ${statusPhrase(outcome.status)}${outcome.errorComment ? ` (${outcome.errorComment})` : ''}`, advice: 'The receiver\'s log says more.' };
    case 'rejected': {
      const known = rejections[`${outcome.source}/${outcome.reason}`];
      return { text: `association rejected: ${known?.text ?? `source ${outcome.source}, reason ${outcome.reason}`}`, advice: known?.advice ?? 'Ask the administrator of the receiver; its log says why.' };
    }
    case 'context refused': return { text: `the receiver accepts the association but not the service (presentation context result ${outcome.result})`, advice: 'Enable this SOP class for the gateway\'s AE title at the receiver.' };
    default: {
      const advice = connectionFailures.find(([pattern]) => pattern.test(outcome.text))?.[1];
      return { text: outcome.text, advice: advice ?? 'Check that host and port lead to a DICOM service, and whether it speaks TLS.' };
    }
  }
}
