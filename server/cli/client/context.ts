// What a command has at hand while it runs: its arguments and flags, a client when it needs one, a printer.
import type { CallOptions, Client, ClientOptions } from "../../../sdk/index.ts";
import type { Answer } from "../printers/answer.ts";
import { createPrinter, type Printer } from "../printers/printer.ts";
import type { CommandDescription } from "./command-description.ts";
import { badArguments } from "./command-error.ts";
import { connectTo, findEndpoints, readClientOptions } from "./connect.ts";
import type { FlagValues } from "./flag-values.ts";
import type { Io } from "./io.ts";
import type { Output } from "./output.ts";

export interface CommandContextOptions {
  /** Every command, for the one that tells about the others. */
  readonly commands: readonly CommandDescription[];
  readonly args: readonly string[];
  readonly dashAt: number | undefined;
  readonly flags: FlagValues;
  readonly io: Io;
  readonly out: Output;
}

export class CommandContext implements AsyncDisposable {
  /** Every command that there is. */
  readonly commands: readonly CommandDescription[];
  /** Arguments without flags; those after `--` too. */
  readonly args: readonly string[];
  /** How many of `args` came before `--`; undefined when there was none. */
  readonly dashAt: number | undefined;
  readonly flags: FlagValues;
  readonly io: Io;
  readonly out: Output;
  readonly #printer: Printer;
  readonly #clients: Client[] = [];
  #options: Promise<Omit<ClientOptions, "endpoints">> | undefined;
  #client: Promise<Client> | undefined;

  constructor({ commands, args, dashAt, flags, io, out }: CommandContextOptions) {
    this.commands = commands;
    this.args = args;
    this.dashAt = dashAt;
    this.flags = flags;
    this.io = io;
    this.out = out;
    this.#printer = createPrinter(flags.text("write-out"), flags.boolean("hex"));
  }

  /** The form of the output. */
  get format(): Printer["format"] {
    return this.#printer.format;
  }

  /** Refuses arguments beyond `most`, which would otherwise be dropped in silence. */
  expectAtMost(most: number, what: string): void {
    if (this.args.length <= most) return;
    throw badArguments(`${what}, found ${this.args.length} arguments; quote one that has spaces`);
  }

  /** Prints an answer in the form that was asked for. */
  async print(answer: Answer): Promise<void> {
    await this.out.write(this.#printer.print(answer));
  }

  /** Says something beside the output. */
  warn(message: string): void {
    this.io.errors.write(`${message}\n`);
  }

  /** The client for all endpoints. */
  client(): Promise<Client> {
    this.#client ??= findEndpoints(this.flags).then((endpoints) => this.connect(endpoints));
    return this.#client;
  }

  endpoints(): Promise<readonly string[]> {
    return findEndpoints(this.flags);
  }

  /** A client for these endpoints alone. It is closed when the command ends. */
  async connect(endpoints: readonly string[]): Promise<Client> {
    this.#options ??= readClientOptions(this.flags, this.io);
    const client = await connectTo(endpoints, this.flags, await this.#options);
    // A command that only waits, for a signal or a lost lease, must not end for want of work.
    client.ref();
    this.#clients.push(client);
    return client;
  }

  /** How long a call may take. */
  get callOptions(): CallOptions {
    return { deadline: this.flags.durationMs("command-timeout") };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close({ release: false })));
  }
}
