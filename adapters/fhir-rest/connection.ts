/**
 * The TCP and TLS side of one FHIR server: how long to wait, whom to trust, how much to read. Node's fetch takes it as `dispatcher`; its
 * own agent options do not reach TLS. Must be undici of the major that is built into Node (8 with Node 26).
 */
import { Agent } from 'undici';
import type { Dispatcher } from 'undici';
import type { Config } from './config.ts';

export function openConnection(config: Config): Dispatcher {
  const agent = new Agent({
    connections: 4, maxResponseSize: config.maximum_answer_bytes, headersTimeout: config.request_timeout_milliseconds, bodyTimeout: config.request_timeout_milliseconds,
    connect: {
      timeout: config.connect_timeout_milliseconds,
      ...(config.tls_ca === undefined ? {} : { ca: config.tls_ca }),
      ...(config.tls_certificate === undefined ? {} : { cert: config.tls_certificate, key: config.tls_key }),
    },
  });
  return agent.compose(refuseCompression);
}

export const compressedCode = 'MEDSCAN_COMPRESSED_ANSWER';

/** The size limit counts bytes on the wire: a few compressed megabytes could become gigabytes after it. We ask for none and take none. */
const refuseCompression: Dispatcher.DispatcherComposeInterceptor = (dispatch) => (options, handler) => dispatch(options, {
  onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
  onRequestUpgrade: (controller, status, headers, socket) => handler.onRequestUpgrade?.(controller, status, headers, socket),
  onResponseStart: (controller, status, headers, message) => {
    const encoding = String(headers['content-encoding'] ?? 'identity').toLowerCase();
    if (encoding !== 'identity') return controller.abort(Object.assign(new Error(`the answer is compressed (${encoding}) although we asked for none`), { code: compressedCode }));
    return handler.onResponseStart?.(controller, status, headers, message);
  },
  onResponseData: (controller, chunk) => handler.onResponseData?.(controller, chunk),
  onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
  onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
});
