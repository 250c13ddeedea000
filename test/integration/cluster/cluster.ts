// A cluster of real members on this machine: processes, a network between them that can be broken, and a proxy in front
// of each client port. Members can be added and removed while it runs.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { memberIdOf } from "../../../server/state/cluster/member-id.ts";
import { WireClient } from "../../conformance/wire-client.ts";
import { freePorts } from "../../support/free-ports.ts";
import { TcpProxy } from "../../support/tcp-proxy.ts";
import { DataVolume } from "./data-volume.ts";
import { MemberProcess, type UnexpectedEnd } from "./member-process.ts";
import { PeerNetwork } from "./peer-network.ts";

export interface ClusterOptions {
  readonly size: number;
  /** More flags for every member. */
  readonly args?: readonly string[];
  /** The member of this name keeps its data on a small file system of its own, where one can be mounted. */
  readonly smallDisk?: { readonly name: string; readonly sizeBytes: number };
  /** What node runs for a member, by its name; by default what users run. */
  readonly program?: (name: string) => readonly string[] | undefined;
  /** Members talk to each other through a network that can be broken. Default true. */
  readonly hasNetwork?: boolean;
}

export interface ClusterMember {
  readonly name: string;
  readonly id: bigint;
  readonly process: MemberProcess;
  readonly volume: DataVolume;
  /** Where clients are told to go: a proxy in front of the member. */
  readonly proxy: TcpProxy;
  /** The client port itself. */
  readonly endpoint: string;
  readonly peerUrl: string;
  /** A client of this life of the process. */
  readonly wire: WireClient;
  closeWire(): void;
  /** Whether it runs the program with doors for trouble, see troubled-member.ts. */
  readonly canTrouble: boolean;
}

export interface Status {
  readonly leader: bigint;
  readonly term: number;
  readonly appliedIndex: number;
  readonly commitIndex: number;
  readonly revision: number;
  readonly isLearner: boolean;
}

const token = "etcd-cluster";
const startTimeoutMs = 30_000;
/** What node runs for a member that can be troubled, see troubled-member.ts. */
export const troubledMember = fileURLToPath(new URL("./troubled-member.js", import.meta.url));
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class Cluster implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "quorate-integration-"));
  readonly network = new PeerNetwork();
  readonly unexpectedEnds: UnexpectedEnd[] = [];
  readonly #options: ClusterOptions;
  readonly #members = new Map<string, ClusterMember>();
  readonly #gone: ClusterMember[] = [];
  #named = 0;

  readonly #onExit = (): void => {
    for (const { volume } of this.#members.values()) volume.dispose();
    rmSync(this.folder, { recursive: true, force: true });
  };

  private constructor(options: ClusterOptions) {
    this.#options = options;
    process.on("exit", this.#onExit);
  }

  /** Starts a new cluster of m1, m2, ... and resolves once all of them serve. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const cluster = new Cluster(options);
    try {
      await cluster.#bootstrap();
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  get members(): readonly ClusterMember[] {
    return [...this.#members.values()];
  }

  member(name: string): ClusterMember {
    const member = this.#members.get(name);
    if (member === undefined) throw new Error(`there is no member ${name}`);
    return member;
  }

  get endpoints(): readonly string[] {
    return this.members.map(({ proxy }) => proxy.endpoint);
  }

  async #bootstrap(): Promise<void> {
    const plans = await this.#plan(this.#options.size);
    const initial = plans.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
    for (const plan of plans) await this.#create(plan, memberIdOf([plan.peerUrl], token), initial, "new");
    for (const { process } of this.members) process.start();
    await this.#allReady(this.members);
  }

  async #allReady(members: readonly ClusterMember[]): Promise<void> {
    const ready = await Promise.all(members.map(({ process }) => process.untilReady(startTimeoutMs)));
    const late = members.find((_, at) => ready[at] === false);
    if (late !== undefined) throw new Error(`${late.name} does not serve\n${late.process.logTail}`);
  }

  async #plan(count: number): Promise<readonly MemberPlan[]> {
    const ports = await freePorts(count * 2);
    const plans: MemberPlan[] = [];
    for (let at = 0; at < count; at++) {
      const name = `m${++this.#named}`;
      const [clientPort, listenPort] = [ports[at * 2] as number, ports[at * 2 + 1] as number];
      const hasNetwork = this.#options.hasNetwork ?? true;
      const direct = `http://127.0.0.1:${listenPort}`;
      const peerUrl = hasNetwork ? await this.network.addMember(name, listenPort) : direct;
      plans.push({ name, clientPort, listenPort, peerUrl });
    }
    return plans;
  }

  async #create(
    plan: MemberPlan,
    id: bigint,
    initialCluster: string,
    state: "new" | "existing",
  ): Promise<ClusterMember> {
    const { name, clientPort, listenPort, peerUrl } = plan;
    const { smallDisk, program } = this.#options;
    const root = join(this.folder, name);
    const small = smallDisk?.name === name ? DataVolume.mountSmall(root, smallDisk.sizeBytes) : undefined;
    const volume = small ?? DataVolume.folder(root);
    const endpoint = `http://127.0.0.1:${clientPort}`;
    const proxy = await TcpProxy.start(endpoint);
    this.network.nameId(id, name);
    const own = program?.(name);
    const child = new MemberProcess({
      name,
      logFile: join(this.folder, `${name}.log`),
      onUnexpectedEnd: (end) => this.unexpectedEnds.push(end),
      ...(own === undefined ? {} : { program: own }),
      args: [
        ...["--name", name, "--data-dir", volume.folder],
        ...["--listen-client-urls", endpoint, "--advertise-client-urls", proxy.endpoint],
        ...["--listen-peer-urls", `http://127.0.0.1:${listenPort}`, "--initial-advertise-peer-urls", peerUrl],
        ...["--initial-cluster", initialCluster, "--initial-cluster-state", state, "--initial-cluster-token", token],
        ...(this.#options.args ?? []),
      ],
    });
    const wires = new WirePerLife(`127.0.0.1:${clientPort}`, child);
    const member = {
      ...{ name, id, process: child, volume, proxy, endpoint, peerUrl },
      get wire() {
        return wires.current;
      },
      closeWire: () => wires.close(),
      canTrouble: own?.includes(troubledMember) ?? false,
    };
    this.#members.set(name, member);
    return member;
  }

  /** Adds a member to the cluster and starts it with an empty folder. Undefined when the cluster refused. */
  async add(through: ClusterMember, isLearner: boolean): Promise<ClusterMember | undefined> {
    const [plan] = await this.#plan(1);
    const { name, peerUrl } = plan!;
    const request = { peerURLs: [peerUrl], isLearner };
    const added = await through.wire.call("Cluster/MemberAdd", request, { deadlineMs: 8000 });
    if (!("response" in added)) {
      // No answer may still have been a yes.
      await this.forget([peerUrl]);
      return undefined;
    }
    const { member } = added.response as { readonly member: { readonly ID: bigint } };
    const initial = [...this.members.map((other) => `${other.name}=${other.peerUrl}`), `${name}=${peerUrl}`].join(",");
    const created = await this.#create(plan!, member.ID, initial, "existing");
    created.process.start();
    return created;
  }

  /** Sees to it that no member with these peer URLs belongs to the cluster: an addition without an answer may have been one. */
  async forget(peerUrls: readonly string[], timeoutMs = 30_000): Promise<boolean> {
    const endMs = performance.now() + timeoutMs;
    while (performance.now() < endMs) {
      const listed = await this.listMembers();
      const found = listed?.find((member) => member.peerURLs.join() === peerUrls.join());
      if (listed !== undefined && found === undefined) return true;
      if (found !== undefined) await this.callAny("Cluster/MemberRemove", { ID: found.ID });
      await pause(200);
    }
    return false;
  }

  /** Takes a member out of the cluster for good and stops it. True once it is gone from the list. */
  async remove(name: string, timeoutMs = 30_000): Promise<boolean> {
    const member = this.member(name);
    member.process.expectEnd();
    if (!(await this.forget([member.peerUrl], timeoutMs))) return false;
    await this.dispose(name);
    return true;
  }

  /** Ends a member that belongs to the cluster no more. */
  async dispose(name: string): Promise<void> {
    const member = this.member(name);
    await member.process.stop();
    // Somebody may be about to ask it still; it gets no answer, as from any member that is gone.
    this.#gone.push(member);
    await member.proxy.close();
    member.volume.dispose();
    this.#members.delete(name);
  }

  /** The members as the cluster has them; undefined when nobody answers. */
  async listMembers(): Promise<readonly ListedMember[] | undefined> {
    const answer = await this.callAny("Cluster/MemberList", { linearizable: true });
    return (answer as { readonly members: readonly ListedMember[] } | undefined)?.members;
  }

  /** Asks one member after the other until one says yes. */
  async callAny(method: string, request: object, deadlineMs = 3000): Promise<object | undefined> {
    for (const member of this.members) {
      if (member.process.state !== "running") continue;
      const answer = await member.wire.call(method, request, { deadlineMs });
      if ("response" in answer) return answer.response;
    }
    return undefined;
  }

  async statusOf(member: ClusterMember, deadlineMs = 1000): Promise<Status | undefined> {
    if (member.process.state !== "running") return undefined;
    const answer = await member.wire.call("Maintenance/Status", {}, { deadlineMs });
    if (!("response" in answer)) return undefined;
    const status = answer.response as WireStatus;
    return {
      leader: status.leader,
      term: Number(status.raftTerm),
      appliedIndex: Number(status.raftAppliedIndex),
      commitIndex: Number(status.raftIndex),
      revision: Number(status.header.revision),
      isLearner: status.isLearner,
    };
  }

  /** Who believes to lead, in the newest term; undefined when nobody does. */
  async leader(): Promise<ClusterMember | undefined> {
    const found = await Promise.all(
      this.members.map(async (member) => ({ member, status: await this.statusOf(member) })),
    );
    return found
      .filter(({ member, status }) => status !== undefined && status.leader === member.id)
      .sort((a, b) => (b.status?.term ?? 0) - (a.status?.term ?? 0))[0]?.member;
  }

  /** Waits for a leader. */
  async untilLeader(timeoutMs = 15_000): Promise<ClusterMember> {
    const endMs = performance.now() + timeoutMs;
    while (performance.now() < endMs) {
      const leader = await this.leader();
      if (leader !== undefined) return leader;
      await pause(50);
    }
    throw new Error(`no leader within ${timeoutMs} ms`);
  }

  /** Ends all faults: every process runs, every byte arrives, every disk has room. Resolves once all serve. */
  async heal(): Promise<void> {
    this.network.heal();
    for (const { process, proxy, volume } of this.members) {
      proxy.heal();
      volume.free();
      process.thaw();
      process.start();
    }
    await this.#allReady(this.members);
  }

  /** What all members ever wrote, those too that are gone. */
  logs(): readonly string[] {
    return readdirSync(this.folder)
      .filter((name) => name.endsWith(".log"))
      .map((name) => readFileSync(join(this.folder, name), "utf8"));
  }

  async close(): Promise<void> {
    for (const { closeWire } of this.#gone) closeWire();
    for (const { process, closeWire, proxy, volume } of this.members) {
      closeWire();
      await process.kill();
      await proxy.close();
      volume.dispose();
    }
    await this.network.close();
    process.removeListener("exit", this.#onExit);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** A client that has seen its member die waits before it calls again; a new life of the member gets a new client. */
class WirePerLife {
  readonly #address: string;
  readonly #process: MemberProcess;
  #life = -1;
  #client: WireClient | undefined;

  constructor(address: string, process: MemberProcess) {
    this.#address = address;
    this.#process = process;
  }

  get current(): WireClient {
    if (this.#client === undefined || this.#life !== this.#process.lives) {
      this.#client?.close();
      this.#client = new WireClient(this.#address);
      this.#life = this.#process.lives;
    }
    return this.#client;
  }

  close(): void {
    this.#client?.close();
  }
}

interface MemberPlan {
  readonly name: string;
  readonly clientPort: number;
  readonly listenPort: number;
  readonly peerUrl: string;
}

export interface ListedMember {
  readonly ID: bigint;
  readonly name: string;
  readonly peerURLs: readonly string[];
  readonly clientURLs: readonly string[];
  readonly isLearner: boolean;
}

interface WireStatus {
  readonly header: { readonly revision: bigint };
  readonly leader: bigint;
  readonly raftTerm: bigint;
  readonly raftIndex: bigint;
  readonly raftAppliedIndex: bigint;
  readonly isLearner: boolean;
}
