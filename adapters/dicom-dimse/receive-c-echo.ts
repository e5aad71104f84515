import { verification } from './association.ts';
import { Status } from './status.ts';
import type { CommandSet } from './upper-layer/command-set.ts';
import { encodeResponse } from './upper-layer/command-set.ts';
import type { AssociationAcceptor } from './upper-layer/acceptor.ts';
import type { MessageReceiver } from './upper-layer/message-assembler.ts';
import type { NegotiatedContext } from './upper-layer/pdu.ts';
import { encodeCommandPdu } from './upper-layer/pdu.ts';

/** Answers a message with a status and does nothing else; a data set that comes with it is read and dropped. */
export function answerOnly(acceptor: AssociationAcceptor, command: CommandSet, context: NegotiatedContext, status: number, errorComment?: string): MessageReceiver {
  return {
    write() { /* dropped */ },
    async end() {
      const response = encodeResponse(command, { status, ...(errorComment === undefined ? {} : { errorComment }) });
      await acceptor.send(encodeCommandPdu(context.id, response));
    },
    async abort() { /* nothing is open */ },
  };
}

/** Verification (PS3.4 annex A). C-ECHO says that the gateway listens, not that it can store: it touches neither disk nor database. */
export function receiveCEcho(acceptor: AssociationAcceptor, command: CommandSet, context: NegotiatedContext): MessageReceiver {
  return context.abstractSyntax === verification
    ? answerOnly(acceptor, command, context, Status.success)
    : answerOnly(acceptor, command, context, Status.sopClassNotSupported, 'C-ECHO needs a Verification context');
}
