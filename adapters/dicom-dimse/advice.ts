import type { ScuOutcome } from './upper-layer/dimse-scu.ts';
import { statusCode, statusPhrase } from './status.ts';
import type { Rejection } from './upper-layer/pdu.ts';

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

const statuses: readonly (readonly [mask: number, value: number, advice: string])[] = [
  [0xff00, 0xa700, 'The receiver is short of something, usually disk space; it is tried again.'],
  [0xff00, 0xa900, 'The receiver reads the object as one of another class; its log says which attribute.'],
  [0xf000, 0xc000, 'The receiver could not read or file the object; its log says which attribute.'],
  [0xffff, 0x0122, 'Enable this SOP class for the gateway\'s AE title at the receiver.'],
  [0xffff, 0x0124, 'Give the gateway\'s AE title the permission to store at the receiver.'],
  [0xffff, 0x0211, 'The receiver does not offer this service.'],
];
const adviceOnStatus = (status: number): string => statuses.find(([mask, value]) => (status & mask) === value)?.[2] ?? 'The receiver\'s log says more.';

const connectionFailures: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, 'Nothing listens there: check host and port, and whether the receiver runs.'],
  [/ENOTFOUND|EAI_AGAIN/, 'The host name is not known: check host, or the name server.'],
  [/ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|no answer to the association/, 'Nothing answers: check the address, the network and the firewalls between.'],
  [/certificate|CERT|SSL|TLS|self.signed/i, 'The TLS handshake failed: check the certificates, and whether the receiver speaks TLS on this port.'],
];

/** What goes wrong with TLS, by the words of OpenSSL and Node; alerts are what the receiver thinks of us. The advice begins alike, so that it is found. */
const handshakeFailed = 'The TLS handshake failed: check the certificates.';
const tlsFailures: readonly (readonly [RegExp, string, string])[] = [
  [/alert certificate required|alert handshake failure|peer did not return a certificate/i, 'the receiver wants a certificate of ours, or another one', 'Set tls_certificate and tls_private_key, signed by a CA that the receiver trusts.'],
  [/alert (bad certificate|unknown ca|certificate unknown|unsupported certificate)/i, 'the receiver does not accept our certificate', 'Have the CA of tls_certificate trusted at the receiver, or set a certificate that it trusts.'],
  [/alert certificate expired/i, 'our certificate has expired, says the receiver', 'Renew tls_certificate.'],
  [/alert protocol version|unsupported protocol|no protocols available|no shared cipher/i, 'the receiver does not speak TLS 1.2 or later with a cipher of today', 'Have TLS 1.2 or 1.3 enabled at the receiver (PS3.15 B.12).'],
  [/has expired/i, 'the receiver\'s certificate has expired', 'Have it renewed at the receiver.'],
  [/not yet valid/i, 'the receiver\'s certificate is not valid yet', 'Compare the clocks of both machines.'],
  [/altnames/i, 'the receiver\'s certificate is not for this host', 'Set destination.host to a name that the certificate has, or have one made for this name.'],
  [/self.signed|local issuer|first certificate|CERT_UNTRUSTED/i, 'the receiver\'s certificate is signed by nobody whom the gateway trusts', 'Set destination.tls_ca to the CA of the receiver, or to its certificate where it signed itself.'],
  [/wrong version number|packet length too long|unexpected message|before secure TLS|unexpected eof/i, 'the receiver does not answer as TLS does', 'It may not speak TLS on this port: check the port there, or set destination.tls to false.'],
];
function explainTls(text: string): Explanation | undefined {
  if (text.startsWith('the TLS settings')) return { text, advice: 'Correct this setting of the integration: PEM text, from BEGIN to END.' };
  const failure = tlsFailures.find(([pattern]) => pattern.test(text));
  if (!failure) return undefined;
  const [, words, advice] = failure;
  // OpenSSL's own line says where in its source; Node's says what it compared.
  return { text: /SSL routines|^[0-9A-F]{8}/.test(text) ? words : `${words} (${text})`, advice: `${handshakeFailed} ${advice}` };
}

/** What an administrator of ours does about a caller that we rejected: by result/source/reason (PS3.8 table 9-21). */
const adviceOnCallers: Readonly<Record<string, string>> = {
  '1/1/2': 'The caller does not speak DICOM as of 1993 or later; nothing to set here.',
  '1/1/3': 'If the caller is wanted, name its AE title in calling_ae_titles, its address in addresses and its certificate in tls_subjects of one integration.',
  '1/1/7': 'Correct the called AE title at the sender, or give an integration this called_ae_title; upper and lower case count.',
  '1/2/2': 'The caller speaks another version of the upper layer protocol; nothing to set here.',
  '1/3/2': 'Raise the maximum PDU length at the sender to 4096 or more.',
  '2/3/1': 'It goes by itself when there is room: see free space (medscan doctor), the queues and how many associations are open. The sender tries again.',
  '2/3/2': 'Let the sender open fewer associations at once, or raise MEDSCAN_DICOM_ASSOCIATIONS_PER_AE.',
};
export const adviceOnCaller = ({ result, source, reason }: Rejection): string => adviceOnCallers[`${result}/${source}/${reason}`] ?? 'The gateway\'s log says more.';

/** How an association of ours as acceptor broke off, by the words of its end. */
const breaks: readonly (readonly [RegExp, string])[] = [
  [/^aborted by the peer/, 'The sender gave up: its log says why; a time limit there is the usual reason.'],
  [/without a release/, 'The sender or a firewall between closed the connection; objects that were not answered are sent again.'],
  [/^idle/, 'The sender kept the association open without using it; it opens another one when it needs it (MEDSCAN_DICOM_IDLE_SECONDS).'],
  [/^ARTIM/, 'Something connects and does not speak DICOM: a port check, or TLS on the port without TLS.'],
  [/maximum_object_megabytes/, 'Raise maximum_object_megabytes of the integration if the object is wanted.'],
  [/is the peer speaking DICOM/, 'Something else than DICOM called this port: TLS, HTTP or a scanner. Check port and protocol at the caller.'],
];
export const adviceOnBreak = (why: string): string => breaks.find(([pattern]) => pattern.test(why))?.[1] ?? 'The sender breaks the standard here; its vendor needs this text.';

/** Undefined: the request was answered, and its status is the answer. */
export function explain(outcome: ScuOutcome): Explanation {
  switch (outcome.kind) {
    case 'answered': return { text: `${statusCode(outcome.status)} ${statusPhrase(outcome.status)}${outcome.errorComment ? ` (${outcome.errorComment})` : ''}`, advice: adviceOnStatus(outcome.status) };
    case 'rejected': {
      const known = rejections[`${outcome.source}/${outcome.reason}`];
      return { text: `association rejected: ${known?.text ?? `source ${outcome.source}, reason ${outcome.reason}`}`, advice: known?.advice ?? 'Ask the administrator of the receiver; its log says why.' };
    }
    case 'context refused': return { text: `the receiver accepts the association but not the service (presentation context result ${outcome.result})`, advice: 'Enable this SOP class for the gateway\'s AE title at the receiver.' };
    default: {
      const tls = explainTls(outcome.text);
      if (tls) return tls;
      const advice = connectionFailures.find(([pattern]) => pattern.test(outcome.text))?.[1];
      return { text: outcome.text, advice: advice ?? 'Check that host and port lead to a DICOM service, and whether it speaks TLS.' };
    }
  }
}
