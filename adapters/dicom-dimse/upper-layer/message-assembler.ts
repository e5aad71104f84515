import type { CommandSet } from './command-set.ts';
import { decodeCommandSet, InvalidCommandSet } from './command-set.ts';
import type { NegotiatedContext } from './pdu.ts';
import { AbortReason, InvalidPdu } from './pdu.ts';

/** Takes one DIMSE message's data set. Exactly one of `end` and `abort` is called, once. */
export interface MessageReceiver {
  /** The bytes are lent for the call: what is kept is copied. A returned promise asks the sender to wait. Throwing aborts the association. */
  write(bytes: Buffer): void | Promise<void>;
  /** All data is here (or the message has none): resolves after the response was written. */
  end(): Promise<void>;
  /** The association ended before the message did. */
  abort(): Promise<void>;
  /** True: what the peer sends while `end` runs is read (C-CANCEL, answers to sub-operations). Otherwise it waits. */
  readonly readsOn?: boolean;
}
export interface AssemblerEvents {
  /** A command set is complete; what is returned gets the data set. */
  begin(command: CommandSet, context: NegotiatedContext): MessageReceiver;
  wait(until: Promise<void>): void;
  complete(receiver: MessageReceiver): void;
}

interface Message { readonly context: NegotiatedContext; readonly command: Buffer[]; commandByteLength: number; receiver: MessageReceiver | undefined }

/**
 * Puts the PDVs of one association together to messages: command fragments, then data set fragments, all on one accepted context
 * (PS3.7 6.3, PS3.8 annex E). Commands are collected, data is passed on. Throws InvalidPdu for any other order.
 */
export class MessageAssembler {
  readonly #accepted = new Map<number, NegotiatedContext>();
  readonly #mostCommandBytes: number;
  readonly #events: AssemblerEvents;
  #message: Message | undefined;
  #isCommand = false;
  #isLast = false;

  constructor(mostCommandBytes: number, events: AssemblerEvents) {
    this.#mostCommandBytes = mostCommandBytes;
    this.#events = events;
  }

  get isInMessage(): boolean { return this.#message !== undefined; }
  accept(context: NegotiatedContext): void { this.#accepted.set(context.id, context); }

  pdv(contextId: number, isCommand: boolean, isLast: boolean): void {
    const context = this.#accepted.get(contextId);
    if (!context) throw new InvalidPdu(`P-DATA on presentation context ${contextId}, which was not accepted`);
    if (this.#message && this.#message.context !== context) throw new InvalidPdu('a message changes its presentation context');
    if (isCommand === (this.#message?.receiver !== undefined)) throw new InvalidPdu(isCommand ? 'a command inside a data set' : 'a data set without a command', AbortReason.unexpectedPduParameter);
    this.#message ??= { context, command: [], commandByteLength: 0, receiver: undefined };
    this.#isCommand = isCommand;
    this.#isLast = isLast;
  }

  fragment(bytes: Buffer): void {
    const message = this.#message;
    if (!message) return;
    if (this.#isCommand) {
      message.commandByteLength += bytes.length;
      if (message.commandByteLength > this.#mostCommandBytes) throw new InvalidPdu(`command set of more than ${this.#mostCommandBytes} bytes`);
      message.command.push(Buffer.from(bytes));
      return;
    }
    const wait = message.receiver?.write(bytes);
    if (wait) this.#events.wait(wait);
  }

  endOfPdv(): void {
    const message = this.#message;
    if (!message || !this.#isLast) return;
    if (message.receiver) { this.#complete(message.receiver); return; }
    const command = decode(message.command);
    message.receiver = this.#events.begin(command, message.context);
    if (!command.hasDataSet) this.#complete(message.receiver);
  }

  /** The receiver of a message that will not be completed, if one is under way. */
  abandon(): MessageReceiver | undefined {
    const receiver = this.#message?.receiver;
    this.#message = undefined;
    return receiver;
  }

  #complete(receiver: MessageReceiver): void {
    this.#message = undefined;
    this.#events.complete(receiver);
  }
}

function decode(fragments: readonly Buffer[]): CommandSet {
  try {
    return decodeCommandSet(Buffer.concat(fragments));
  } catch (error) {
    throw error instanceof InvalidCommandSet ? new InvalidPdu(error.message) : error;
  }
}
