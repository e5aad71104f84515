/**
 * PS3.8 table 9-10, the acceptor's part: what an upper layer does when an event meets a state. Names are the standard's own.
 *
 *     Sta1 idle -> Sta2 awaiting A-ASSOCIATE-RQ -> Sta3 awaiting local response -> Sta6 data transfer -> Sta8 awaiting local release
 *     response -> Sta13 awaiting transport close. Sta4, Sta5, Sta7 and Sta9-Sta12 belong to a requestor or to an acceptor that
 *     releases by itself, which ours never does: it aborts.
 */
export type State = 'Sta1' | 'Sta2' | 'Sta3' | 'Sta6' | 'Sta8' | 'Sta13';
export type Event =
  | 'transport connection indication'                                                               // Evt5
  | 'A-ASSOCIATE-AC PDU' | 'A-ASSOCIATE-RJ PDU' | 'A-ASSOCIATE-RQ PDU'                              // Evt3, 4, 6
  | 'A-ASSOCIATE response accept' | 'A-ASSOCIATE response reject'                                   // Evt7, 8
  | 'P-DATA-TF PDU' | 'A-RELEASE-RQ PDU' | 'A-RELEASE-RP PDU' | 'A-RELEASE response'                // Evt10, 12, 13, 14
  | 'A-ABORT request' | 'A-ABORT PDU' | 'transport connection closed' | 'ARTIM timer expired' | 'invalid PDU'; // Evt15-19
export type Action = 'AE-5' | 'AE-6' | 'AE-7' | 'AE-8' | 'DT-2' | 'AR-2' | 'AR-4' | 'AR-5' | 'AA-1' | 'AA-2' | 'AA-3' | 'AA-4' | 'AA-5' | 'AA-6' | 'AA-7' | 'AA-8';
export interface Transition { readonly action: Action; readonly next: State }

const to = (action: Action, next: State): Transition => ({ action, next });
const unexpected = { Sta2: to('AA-1', 'Sta13'), Sta3: to('AA-8', 'Sta13'), Sta6: to('AA-8', 'Sta13'), Sta8: to('AA-8', 'Sta13'), Sta13: to('AA-6', 'Sta13') };

const table: Readonly<Record<Event, Partial<Record<State, Transition>>>> = {
  'transport connection indication': { Sta1: to('AE-5', 'Sta2') },
  'A-ASSOCIATE-AC PDU': unexpected,
  'A-ASSOCIATE-RJ PDU': unexpected,
  'A-ASSOCIATE-RQ PDU': { ...unexpected, Sta2: to('AE-6', 'Sta3'), Sta13: to('AA-7', 'Sta13') },
  'A-ASSOCIATE response accept': { Sta3: to('AE-7', 'Sta6') },
  'A-ASSOCIATE response reject': { Sta3: to('AE-8', 'Sta13') },
  'P-DATA-TF PDU': { ...unexpected, Sta6: to('DT-2', 'Sta6') },
  'A-RELEASE-RQ PDU': { ...unexpected, Sta6: to('AR-2', 'Sta8') },
  'A-RELEASE-RP PDU': unexpected,
  'A-RELEASE response': { Sta8: to('AR-4', 'Sta13') },
  'A-ABORT request': { Sta3: to('AA-1', 'Sta13'), Sta6: to('AA-1', 'Sta13'), Sta8: to('AA-1', 'Sta13'), Sta2: to('AA-2', 'Sta1') },
  'A-ABORT PDU': { Sta2: to('AA-2', 'Sta1'), Sta3: to('AA-3', 'Sta1'), Sta6: to('AA-3', 'Sta1'), Sta8: to('AA-3', 'Sta1'), Sta13: to('AA-2', 'Sta1') },
  'transport connection closed': { Sta2: to('AA-5', 'Sta1'), Sta3: to('AA-4', 'Sta1'), Sta6: to('AA-4', 'Sta1'), Sta8: to('AA-4', 'Sta1'), Sta13: to('AR-5', 'Sta1') },
  'ARTIM timer expired': { Sta2: to('AA-2', 'Sta1'), Sta3: to('AA-1', 'Sta13'), Sta13: to('AA-2', 'Sta1') },
  'invalid PDU': { ...unexpected, Sta13: to('AA-7', 'Sta13') },
};

/** Undefined: the event means nothing in this state (it came after the connection was given up). */
export const transition = (state: State, event: Event): Transition | undefined => table[event][state];
