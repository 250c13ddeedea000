// What a listener needs to speak TLS, read from files: certificate and key, trusted authorities, revocation list. The
// files are looked at again and again, and a change takes effect for new connections; a change that cannot be used is
// logged and the old state kept, since half-written files are normal while certificates are being replaced.
import { constants } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import type { Clock, Timer } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { pemBlocks, revokedCertificates } from "./certificate.ts";
import type { ClientRules } from "./client-verifier.ts";
import { cipherList, tlsVersion } from "./tls-ciphers.ts";

/** Whom a TLS port lets in, and how. Named as etcd's flags are. */
export interface TlsRules {
  /** Authorities that client certificates must come from. Asks for client certificates, as etcd does. */
  readonly trustedCaFile?: string;
  /** Asks for client certificates, of the system's authorities unless `trustedCaFile` names others. */
  readonly clientCertAuth?: boolean;
  /** Certificate revocation lists, PEM or DER. Their own dates and signatures are not looked at, as with etcd. */
  readonly crlFile?: string;
  /** Not both of these two. */
  readonly allowedCommonNames?: readonly string[];
  readonly allowedHostnames?: readonly string[];
  /** `TLS1.2` (default) or `TLS1.3`. */
  readonly minVersion?: string;
  /** Default: the latest. */
  readonly maxVersion?: string;
  /** Go's names. Default: those fit for HTTP/2. */
  readonly cipherSuites?: readonly string[];
}

export interface TlsOptions extends TlsRules {
  readonly certFile: string;
  readonly keyFile: string;
}

/** How often the files are looked at. */
const reloadIntervalMs = 1_000;

interface Files {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer | undefined;
  readonly crl: Buffer | undefined;
}

export class TlsContext {
  readonly #options: TlsOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onChange = new Set<(options: SecureContextOptions) => void>();
  #secureOptions: SecureContextOptions;
  #rules: ClientRules;
  #timer: Timer | undefined;
  #stamp = "";
  #isClosed = false;

  /** Reads the files. Throws where they, or the options, cannot be used. */
  constructor(options: TlsOptions, clock: Clock, logger: Logger) {
    checkOptions(options);
    this.#options = options;
    this.#clock = clock;
    this.#logger = logger.child("transport/tls-context");
    const files: Files = {
      cert: readFileSync(options.certFile),
      key: readFileSync(options.keyFile),
      ca: options.trustedCaFile === undefined ? undefined : readFileSync(options.trustedCaFile),
      crl: options.crlFile === undefined ? undefined : readFileSync(options.crlFile),
    };
    this.#secureOptions = secureOptionsOf(options, files);
    this.#rules = rulesOf(options, files);
    this.#watch();
  }

  /** For new connections. */
  get secureOptions(): SecureContextOptions {
    return this.#secureOptions;
  }

  get rules(): ClientRules {
    return this.#rules;
  }

  /** Calls `listener` with every new state of the files. */
  onChange(listener: (options: SecureContextOptions) => void): void {
    this.#onChange.add(listener);
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #watch(): void {
    this.#timer = this.#clock.setTimer(reloadIntervalMs, () => {
      this.#reload().then(
        () => {
          if (!this.#isClosed) this.#watch();
        },
        (error: unknown) => {
          this.#logger.log("warn", "certificate files cannot be used, keeping the previous ones", { error });
          if (!this.#isClosed) this.#watch();
        },
      );
    });
  }

  async #reload(): Promise<void> {
    const { certFile, keyFile, trustedCaFile, crlFile } = this.#options;
    const stamps = [certFile, keyFile, trustedCaFile, crlFile].map(async (file) => {
      if (file === undefined) return "";
      const { mtimeMs, size, ino } = await stat(file);
      return `${mtimeMs}/${size}/${ino}`;
    });
    const stamp = (await Promise.all(stamps)).join(" ");
    if (stamp === this.#stamp) return;
    const isFirstLook = this.#stamp === "";
    const files: Files = {
      cert: await readFile(certFile),
      key: await readFile(keyFile),
      ca: trustedCaFile === undefined ? undefined : await readFile(trustedCaFile),
      crl: crlFile === undefined ? undefined : await readFile(crlFile),
    };
    const secureOptions = secureOptionsOf(this.#options, files);
    this.#rules = rulesOf(this.#options, files);
    this.#secureOptions = secureOptions;
    // Only now: files that could not be used are tried again at the next look.
    this.#stamp = stamp;
    for (const listener of this.#onChange) listener(secureOptions);
    if (!isFirstLook) this.#logger.log("info", "certificate files were read again", { certFile });
  }
}

function checkOptions(options: TlsOptions): void {
  const {
    allowedCommonNames = [],
    allowedHostnames = [],
    minVersion = "TLS1.2",
    maxVersion,
    cipherSuites = [],
  } = options;
  if (allowedCommonNames.length > 0 && allowedHostnames.length > 0) {
    throw new Error("allowed common names and allowed host names exclude each other: give one of the two");
  }
  if (maxVersion !== undefined && tlsVersion(minVersion) > tlsVersion(maxVersion)) {
    throw new Error(`min version (${minVersion}) is greater than max version (${maxVersion})`);
  }
  if (minVersion === "TLS1.3" && cipherSuites.length > 0) {
    throw new Error("cipher suites cannot be configured when only TLS1.3 is enabled");
  }
}

/** Throws where the files do not fit together. */
function secureOptionsOf(options: TlsOptions, { cert, key, ca }: Files): SecureContextOptions {
  const asksForCertificate = isCertificateRequired(options);
  const secureOptions: SecureContextOptions = {
    cert,
    key,
    ...(ca === undefined ? {} : { ca }),
    minVersion: tlsVersion(options.minVersion ?? "TLS1.2"),
    ...(options.maxVersion === undefined ? {} : { maxVersion: tlsVersion(options.maxVersion) }),
    ciphers: cipherList(options.cipherSuites ?? []),
    honorCipherOrder: true,
    // No session is resumed where clients are checked: what was good an hour ago may be revoked now.
    secureOptions:
      constants.SSL_OP_NO_RENEGOTIATION |
      constants.SSL_OP_NO_COMPRESSION |
      (asksForCertificate ? constants.SSL_OP_NO_TICKET : 0),
  };
  createSecureContext(secureOptions);
  return secureOptions;
}

function rulesOf(options: TlsOptions, { crl }: Files): ClientRules {
  const lists = crl === undefined ? [] : pemBlocks(crl, "X509 CRL");
  if (crl !== undefined && lists.length === 0) throw new Error(`${options.crlFile} holds no revocation list`);
  return {
    isCertificateRequired: isCertificateRequired(options),
    allowedCommonNames: options.allowedCommonNames ?? [],
    allowedHostnames: options.allowedHostnames ?? [],
    revoked: new Set(lists.flatMap((list) => [...revokedCertificates(list)])),
  };
}

/** etcd asks for a certificate as soon as a trusted authority is named. */
function isCertificateRequired(options: TlsOptions): boolean {
  return options.clientCertAuth === true || options.trustedCaFile !== undefined;
}
