// Users, roles and permissions.
import { Permission_Type } from "../proto/gen/authpb/auth.ts";
import type { Caller } from "./caller.ts";
import { type Header, toHeader } from "./key-value.ts";
import { type KeyOrRange, keyText, toWireRange } from "./keys.ts";
import { authMethods } from "./methods.ts";
import type { CallOptions } from "./options.ts";

export type PermissionType = "read" | "write" | "readwrite";

/** What a role may do on which keys, in full: permissions know no namespaces. */
export interface RolePermission {
  readonly type: PermissionType;
  readonly key: string;
  readonly keyBytes: Uint8Array;
  /** First key that is not covered any more; empty for a single key, one zero byte for no upper end. */
  readonly rangeEndBytes: Uint8Array;
}

interface Answered {
  readonly header: Header;
}

const toWireType = {
  read: Permission_Type.READ,
  write: Permission_Type.WRITE,
  readwrite: Permission_Type.READWRITE,
} as const;
const fromWireType = new Map<number, PermissionType>([
  [Permission_Type.READ, "read"],
  [Permission_Type.WRITE, "write"],
  [Permission_Type.READWRITE, "readwrite"],
]);
const noNamespace = new Uint8Array(0);

/** Authentication and authorization of the cluster. */
export class Auth {
  readonly #caller: Caller;
  readonly users: Users;
  readonly roles: Roles;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
    this.users = new Users(caller);
    this.roles = new Roles(caller);
  }

  /** From now on every call needs a user. The user `root` with the role `root` must exist. */
  async enable(options: CallOptions = {}): Promise<Answered> {
    const { header } = await this.#caller.unary(authMethods.enable, {}, options);
    return { header: toHeader(header) };
  }

  async disable(options: CallOptions = {}): Promise<Answered> {
    const { header } = await this.#caller.unary(authMethods.disable, {}, options);
    return { header: toHeader(header) };
  }

  async status(
    options: CallOptions = {},
  ): Promise<Answered & { readonly isEnabled: boolean; readonly revision: bigint }> {
    const { header, enabled, authRevision } = await this.#caller.unary(authMethods.status, {}, options);
    return { header: toHeader(header), isEnabled: enabled, revision: authRevision };
  }
}

/** The cluster's users. */
export class Users {
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Adds a user; without a password one that can only come with a client certificate. */
  async add(name: string, password: string | undefined, options: CallOptions = {}): Promise<Answered> {
    const request = {
      name,
      password: password ?? "",
      options: { noPassword: password === undefined },
      hashedPassword: "",
    };
    const { header } = await this.#caller.unary(authMethods.userAdd, request, options);
    return { header: toHeader(header) };
  }

  async get(name: string, options: CallOptions = {}): Promise<Answered & { readonly roles: readonly string[] }> {
    const { header, roles } = await this.#caller.unary(authMethods.userGet, { name }, options);
    return { header: toHeader(header), roles };
  }

  async list(options: CallOptions = {}): Promise<Answered & { readonly users: readonly string[] }> {
    const { header, users } = await this.#caller.unary(authMethods.userList, {}, options);
    return { header: toHeader(header), users };
  }

  async remove(name: string, options: CallOptions = {}): Promise<Answered> {
    const { header } = await this.#caller.unary(authMethods.userDelete, { name }, options);
    return { header: toHeader(header) };
  }

  async changePassword(name: string, password: string, options: CallOptions = {}): Promise<Answered> {
    const request = { name, password, hashedPassword: "" };
    const { header } = await this.#caller.unary(authMethods.userChangePassword, request, options);
    return { header: toHeader(header) };
  }

  async grantRole(user: string, role: string, options: CallOptions = {}): Promise<Answered> {
    const { header } = await this.#caller.unary(authMethods.userGrantRole, { user, role }, options);
    return { header: toHeader(header) };
  }

  async revokeRole(user: string, role: string, options: CallOptions = {}): Promise<Answered> {
    const { header } = await this.#caller.unary(authMethods.userRevokeRole, { name: user, role }, options);
    return { header: toHeader(header) };
  }
}

/** The cluster's roles. */
export class Roles {
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
  }

  async add(name: string, options: CallOptions = {}): Promise<Answered> {
    const { header } = await this.#caller.unary(authMethods.roleAdd, { name }, options);
    return { header: toHeader(header) };
  }

  async get(
    role: string,
    options: CallOptions = {},
  ): Promise<Answered & { readonly permissions: readonly RolePermission[] }> {
    const { header, perm } = await this.#caller.unary(authMethods.roleGet, { role }, options);
    const permissions = perm.map(({ permType, key, rangeEnd }) => ({
      type: fromWireType.get(permType) ?? "readwrite",
      key: keyText(key),
      keyBytes: key,
      rangeEndBytes: rangeEnd,
    }));
    return { header: toHeader(header), permissions };
  }

  async list(options: CallOptions = {}): Promise<Answered & { readonly roles: readonly string[] }> {
    const { header, roles } = await this.#caller.unary(authMethods.roleList, {}, options);
    return { header: toHeader(header), roles };
  }

  async remove(role: string, options: CallOptions = {}): Promise<Answered> {
    const { header } = await this.#caller.unary(authMethods.roleDelete, { role }, options);
    return { header: toHeader(header) };
  }

  async grantPermission(
    role: string,
    type: PermissionType,
    keys: KeyOrRange,
    options: CallOptions = {},
  ): Promise<Answered> {
    const perm = { permType: toWireType[type], ...toWireRange(keys, noNamespace) };
    const { header } = await this.#caller.unary(authMethods.roleGrantPermission, { name: role, perm }, options);
    return { header: toHeader(header) };
  }

  async revokePermission(role: string, keys: KeyOrRange, options: CallOptions = {}): Promise<Answered> {
    const request = { role, ...toWireRange(keys, noNamespace) };
    const { header } = await this.#caller.unary(authMethods.roleRevokePermission, request, options);
    return { header: toHeader(header) };
  }
}
