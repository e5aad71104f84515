/**
 * The DICOM Conformance Statement of the adapter with these integrations, as Markdown, in the order of PS3.2's template. Limits and services are those of
 * the settings that are in force; conformance.test.ts compares the tables with what independent peers observe. The same input gives the same text.
 */
import type { ConformanceSubject, Integration } from '#gateway/adapter.ts';
import { implementationClassUid, implementationVersionName } from '#standards/dicom/part10.ts';
import { transferSyntaxes } from '#standards/dicom/transfer-syntaxes.ts';
import { rejections } from './association.ts';
import { adviceOnCaller } from './advice.ts';
import type { Config } from './config.ts';
import { initiatedServices, presentationContexts, table } from './conformance-tables.ts';
import type { UpperLayerLimits } from './upper-layer/limits.ts';
import { limitsOf } from './upper-layer/limits.ts';

interface Statement { readonly product: string; readonly version: string; readonly integrations: readonly Integration<Config>[]; readonly limits: UpperLayerLimits }

const bySection = (a: Integration<Config>, b: Integration<Config>): number => a.config.called_ae_title.localeCompare(b.config.called_ae_title) || a.name.localeCompare(b.name);

export function conformanceStatement({ product, version, integrations, limits }: ConformanceSubject<Config>): string {
  return `${sections({ product, version, integrations: integrations.toSorted(bySection), limits: limitsOf(limits) }).join('\n\n')}\n`;
}

const yes = (value: boolean): string => (value ? 'yes' : 'no');
const anyOf = (list: readonly string[]): string => (list.length === 0 ? 'any' : list.join(', '));

function sections(statement: Statement): string[] {
  return [
    `# DICOM conformance statement: ${statement.product} ${statement.version}`,
    'Generated from the configuration that is in force. Its tables are compared with what independent DICOM peers observe when they negotiate (`adapters/dicom-dimse/conformance.test.ts`).',
    '## 1 Conformance statement overview', overview(statement),
    '## 3 Introduction', 'UIDs and terms are those of PS3.3 to PS3.8 and PS3.15. A *setting* is one of an integration, a variable MEDSCAN_... one of the installation. *Refused (1)* and the like are results of PS3.8 table 9-18; 1/1/7 and the like are result/source/reason of table 9-21.',
    '## 4 Networking', '### 4.1 Implementation model', model,
    '### 4.2 Application entities', '#### 4.2.1 Common to all', common(statement), '##### 4.2.1.1 Transfer syntaxes', syntaxes,
    ...statement.integrations.flatMap((integration, index) => entity(integration, index + 2)),
    '### 4.3 Network interfaces', 'TCP/IP over IPv4 and IPv6; no other stack. Host names are resolved for associations that the gateway opens; callers are known by address, never by name.',
    '### 4.4 Configuration', configuration(statement),
    '## 5 Media interchange', 'None.',
    '## 6 Support of character sets', 'Received: every defined term of Specific Character Set (0008,0005) in PS3.3 C.12.1.1.2, code extensions included; what is received is kept as it came. Sent: results and answers to C-FIND in the set of the setting character_set, else ISO_IR 192 and answers in the set that the question names; in ISO_IR 192 where a character is not in that set.',
    '## 7 Security', security,
    '## 8 Annexes', annexes,
  ];
}

function overview({ integrations }: Statement): string {
  const rows = integrations.map(({ name, config }) => {
    const { accepted } = presentationContexts(config);
    return [config.called_ae_title, name, accepted.length, initiatedServices(config).length, config.destination ? config.destination.called_ae_title : 'none'];
  });
  return rows.length === 0 ? 'No DICOM integration is configured: every association is rejected 1/1/7.'
    : table(['our AE title', 'integration', 'SOP classes as SCP', 'SOP classes as SCU', 'calls'], rows);
}

const model = `\`\`\`
PACS, modality --C-STORE------------> [receive] file and rows durable --> Success --> jobs: completeness, AI, report
               --N-ACTION-----------> [storage commitment] every file hashed --> N-EVENT-REPORT
               --C-FIND/MOVE/GET----> [query/retrieve] what the organization holds
modality       --C-FIND, N-CREATE/SET-> [worklist, MPPS]
report         --C-STORE------------> destination of the integration
\`\`\`

An integration is one application entity: it is found by the AE title that is called, then by the caller's AE title, address and certificate. Success of a C-STORE means that the
file and its rows are durable.`;

function common({ limits }: Statement): string {
  return [
    table(['what', 'value'], [
      ['application context', '1.2.840.10008.3.1.1.1'], ['Implementation Class UID', implementationClassUid], ['Implementation Version Name', implementationVersionName],
      ['maximum length offered as SCP', `${limits.maximumLength} bytes`], ['smallest maximum length of a requestor', `${limits.minimumPeerMaximumLength} bytes, or 0 (no limit)`],
      ['associations at once', `${limits.associations}; ${limits.associationsPerAddress} from one address; ${limits.associationsPerCallingAeTitle} by one calling AE title`],
      ['presentation contexts', '128'], ['asynchronous operations window', 'not negotiated: one operation at a time'],
      ['SCP/SCU role selection', 'accepted as proposed on accepted contexts; proposed for C-GET and storage commitment'], ['extended negotiation, user identity', 'ignored when proposed'],
      ['ARTIM timer', `${limits.artimMilliseconds / 1000} s`], ['idle', `${limits.idleMilliseconds / 1000} s with less than ${limits.idleByteLength} bytes moved: A-ABORT`],
    ]),
    'A context is accepted in the first of its transfer syntaxes that is supported. An association is accepted also when none of its contexts is. Rejections:',
    table(['A-ASSOCIATE-RJ', 'when', 'what helps'], Object.entries(rejections).map(([name, { result, source, reason }]) => [`${result}/${source}/${reason}`, when[name as keyof typeof rejections], adviceOnCaller({ result, source, reason })])),
  ].join('\n\n');
}
const when: Readonly<Record<keyof typeof rejections, string>> = {
  applicationContextNotSupported: 'the application context is not that of DICOM', callingAeTitleNotRecognized: 'calling AE title, address or certificate is not allowed, or claimed by several organizations',
  calledAeTitleNotRecognized: 'no integration has the called AE title', protocolVersionNotSupported: 'the protocol version is not 1',
  temporaryCongestion: 'too many associations; or storage is proposed while the disk is below its reserve or too many jobs wait', localLimitExceeded: 'too many associations by one calling AE title',
  maximumLengthTooSmall: 'the requestor takes too small PDUs',
};

const syntaxes = `${table(['transfer syntax', 'UID'], [...transferSyntaxes.values()].map(({ name, uid }) => [name, uid]))}

Storage takes any other transfer syntax too, also an unknown one: the data set is kept byte for byte as it came.`;

function entity({ name, config }: Integration<Config>, number: number): string[] {
  const { accepted, refused } = presentationContexts(config), initiated = initiatedServices(config), section = `4.2.${number}`;
  return [
    `#### ${section} ${config.called_ae_title} (${name})`,
    table(['what', 'value'], [
      ['called AE title', config.called_ae_title], ['calling AE titles', anyOf(config.calling_ae_titles)], ['addresses', anyOf(config.addresses)], ['certificates (CN)', anyOf(config.tls_subjects)],
      ['SOP classes', config.sop_classes.length === 0 ? 'every storage class' : `${config.sop_classes.length} listed`], ['private SOP classes', yes(config.accept_unknown_sop_classes)],
      ['modalities', anyOf(config.modalities)], ['largest object', `${config.maximum_object_megabytes} MiB`], ['objects on one association', config.maximum_objects_per_association || 'no limit'],
      ['query, retrieve, worklist', [config.allow_query, config.allow_retrieve, config.allow_worklist].map(yes).join(', ')],
    ]),
    `##### ${section}.1 Association initiation`,
    initiated.length === 0 ? 'None: there is no `destination`.' : table(['SOP class', 'UID', 'role', 'when'], initiated),
    `##### ${section}.2 Association acceptance: presentation contexts`,
    table(['SOP class', 'UID', 'role', 'transfer syntaxes'], accepted),
    `Other storage classes below 1.2.840.10008.5.1.4.1.1 are ${config.sop_classes.length === 0 ? 'accepted like these' : 'refused (1)'}; private SOP classes are ${config.sop_classes.length > 0 ? 'refused (1)' : config.accept_unknown_sop_classes ? 'accepted' : 'refused (3)'}. Everything else is refused (3).`,
    `##### ${section}.3 Refused by settings`,
    refused.length === 0 ? 'Nothing.' : table(['SOP class', 'UID', 'answer'], refused),
  ];
}

function configuration({ integrations }: Statement): string {
  const rows = integrations.filter(({ config }) => config.destination).map(({ name, config: { destination } }) => [name, destination!.called_ae_title, `${destination!.host}:${destination!.port}`, destination!.calling_ae_title, yes(destination!.tls)]);
  const remote = rows.length === 0 ? 'No remote AE is called.' : table(['integration', 'remote AE title', 'address', 'our calling AE title', 'TLS'], rows);
  return `${remote}\n\nSettings of an integration, with their defaults: [the adapter's README](../adapters/dicom-dimse/README.md#settings). They are changed while the gateway runs and hold for the next association.`;
}

const security = `TLS 1.2 and 1.3 (PS3.15 B.12), ECDHE key exchange and AEAD suites only, on a port of its own; client certificates when MEDSCAN_TLS_CLIENT_CA_FILE is set, bound to an integration by \`tls_subjects\`.
Without TLS the gateway listens beyond its own machine only when MEDSCAN_INSECURE says so. AE titles and addresses are checked as section 4.2 says. Every exchange is audited (PS3.15 A.5).`;

const annexes = `Storage level 2 (full): all attributes are kept, private ones too. No attribute is coerced. Status codes, query keys, retrieve, storage commitment and MPPS: [the adapter's README](../adapters/dicom-dimse/README.md#conformance).
Created objects: Comprehensive 3D SR (TID 1500), and by the setting \`results\` Encapsulated PDF and Secondary Capture, in new series of the original study; new UIDs are under 2.25.`;
