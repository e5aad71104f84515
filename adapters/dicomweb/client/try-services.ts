/**
 * For the connection test: asks as the settings will ask, about a study that cannot exist. What is found is thrown away: it may be about a patient.
 * A search shows whether the login is taken and what the answers are made of; a retrieve which media types are understood.
 */
import type { AdapterContext } from '#gateway/adapter.ts';
import type { Config } from '../config.ts';
import { failureByStatus } from '../failure.ts';
import { parseMediaType } from '../media-type.ts';
import type { Finding } from '../test-connection.ts';
import { baseUrl, type DicomwebClient, type HttpAnswer } from '../web-client.ts';
import { matchesOf } from './answers.ts';
import { asItLikes, asStored } from './retrieve.ts';

/** Under the root for UUIDs: the nil UUID, which no study has. */
const nowhere = '2.25.0';

export async function trySearch(client: DicomwebClient, config: Config, context: AdapterContext): Promise<readonly Finding[]> {
  const asks = config.completeness !== undefined || config.priors !== undefined;
  const exchanged = await client.send({ method: 'GET', path: asks ? `/studies?0020000D=${nowhere}&includefield=00201208&limit=10` : '/studies?limit=1', headers: { accept: 'application/dicom+json' } }, context.signal, { purpose: 'search' });
  if ('failure' in exchanged) return [{ step: 'QIDO-RS', ok: false, detail: exchanged.failure.text, advice: 'Check base_url, and the certificates if the connection breaks at once.' }];
  const { answer } = exchanged;
  if (answer.status === 401 || answer.status === 403) return [{ step: 'login', ok: false, detail: `${textOf(answer, context)}; ${loginOf(config)}`, advice: loginAdvice(answer, config) }];
  const plain = config.base_url?.startsWith('http://') === true ? { advice: 'The address is http: patient data and our login go unencrypted. Use https.' } : {};
  return [{ step: 'login', ok: true, detail: `the server lets us in; ${loginOf(config)}`, ...plain }, judgeSearch(answer, config, context, asks)];
}

function judgeSearch(answer: HttpAnswer, config: Config, context: AdapterContext, asks: boolean): Finding {
  const { status, contentType, body } = answer, step = 'QIDO-RS';
  const type = parseMediaType(contentType)?.type ?? 'no content type', address = `${baseUrl(config)}/studies`;
  if (status === 200 || status === 204) {
    const matches = status === 204 ? [] : type.endsWith('json') || body.length === 0 ? matchesOf(body) : undefined;
    if (!matches) return { step, ok: false, detail: `the server answers a search with ${type.slice(0, 80)}, not with DICOM JSON`, advice: `Check base_url: ${address} must be the studies of a DICOMweb service.` };
    if (asks && matches.length > 0) return { step, ok: false, detail: `asked for a study that does not exist, the server tells ${matches.length}: it does not match by Study Instance UID`, advice: 'A server that leaves a key out of account cannot prove that a study is complete: take completeness and priors out, or ask its vendor.' };
    return { step, ok: true, detail: asks ? `HTTP ${status}${status === 200 ? ` ${type}` : ''} for a study that does not exist: searches are answered` : `the server answers searches (${status === 200 ? type : `HTTP ${status}`}); storing shows with the first report, or with --store` };
  }
  if (!asks && (status === 405 || status === 501)) return { step, ok: true, detail: `HTTP ${status}: the server does not search; that is not needed for reports` };
  return { step, ok: false, detail: textOf(answer, context), advice: 'base_url must be the address to which /studies is added.' };
}

/** Which of our ways to ask for objects the server understands, as far as it looks at that before it looks for the study. */
export async function tryRetrieve(client: DicomwebClient, { retrieve_timeout_seconds: seconds }: Config, context: AdapterContext): Promise<readonly Finding[]> {
  const step = 'WADO-RS', told: string[] = [];
  for (const accept of [asStored, asItLikes]) {
    const opened = await client.open({ method: 'GET', path: `/studies/${nowhere}`, headers: { accept } }, context.signal, seconds * 1000);
    if ('failure' in opened) return [{ step, ok: false, detail: opened.failure.text, advice: 'Look into the server\'s log: it breaks off what it is asked.' }];
    const { status, contentType } = opened.answer;
    opened.answer.end();
    const how = accept === asStored ? 'objects as they are stored (transfer-syntax=*)' : 'objects in a transfer syntax of the server\'s choice';
    told.push(`${how}: HTTP ${status}${status === 200 ? ` ${parseMediaType(contentType)?.type ?? 'no content type'}` : ''}`);
    if ([200, 204, 404, 410].includes(status)) return [{ step, ok: true, detail: `asked for a study that does not exist, as ${told.join('; then ')}: understood. Which media types it sends shows with --store` }];
    if (![400, 406, 415].includes(status)) return [{ step, ok: false, detail: told.join('; then '), advice: status === 401 || status === 403 ? 'The login may search but not retrieve: give it that permission at the server.' : 'The server must offer WADO-RS below base_url, for studies and instances.' }];
  }
  return [{ step, ok: false, detail: told.join('; then '), advice: 'The server must offer multipart/related; type="application/dicom" for studies and instances (PS3.18 10.4).' }];
}

const textOf = ({ status, retryAfter }: HttpAnswer, context: AdapterContext): string => failureByStatus(status, retryAfter, context.now(), 'search').text;

function loginOf({ authentication, username, tls_certificate: certificate }: Config): string {
  const login = { none: 'no login is sent', basic: `logged in as ${username} (HTTP Basic)`, bearer: 'logged in by a token' }[authentication];
  return certificate === undefined ? login : `${login}, with a client certificate`;
}

function loginAdvice({ challenge }: HttpAnswer, { authentication }: Config): string {
  const scheme = challenge === undefined ? undefined : /^[A-Za-z0-9-]{1,20}/.exec(challenge)?.[0];
  const wanted = scheme === undefined || scheme.toLowerCase() === authentication ? '' : ` The server asks for ${scheme}; the setting authentication is ${authentication}.`;
  return `Check authentication, user name and password or token, and what they may do there.${wanted}`;
}
