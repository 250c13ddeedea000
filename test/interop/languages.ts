// The languages that interop knows: how each is found, prepared and run. What is fetched and built is kept in the user's
// cache folder, so that the second run is quick and works without a network.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { repositoryRoot } from "../support/paths.ts";

export interface Language {
  readonly name: string;
  /** The gRPC implementation that is tried. */
  readonly implementation: string;
  /** What is missing on this machine, if anything. */
  missing(): string | undefined;
  /** Fetches and builds; throws when that fails. Returns how to run the program. */
  prepare(): Launch;
}

export interface Launch {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: { readonly [name: string]: string };
}

const sources = join(repositoryRoot, "test", "interop");
const protoFolder = join(repositoryRoot, "proto", "etcd");
const protoFiles = ["authpb/auth.proto", "mvccpb/kv.proto", "etcdserverpb/rpc.proto"];

function cacheFolder(language: string): string {
  const root = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const folder = join(root, "quorate", "interop", language);
  mkdirSync(folder, { recursive: true });
  return folder;
}

const isInstalled = (program: string, argument = "--version"): boolean => spawnSync(program, [argument]).status === 0;

function firstMissing(...programs: readonly string[]): string | undefined {
  return programs.find((program) => !isInstalled(program));
}

/** @throws Error with what the command said when it fails. */
function run(program: string, args: readonly string[], cwd: string): void {
  const { error, status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: "utf8" });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} failed:\n${stdout}${stderr}`);
}

const python: Language = {
  name: "python",
  implementation: "grpcio",
  missing: () => firstMissing("python3"),
  prepare() {
    const folder = cacheFolder("python");
    const environment = join(folder, "venv");
    const program = join(environment, "bin", "python");
    if (!existsSync(program)) run("python3", ["-m", "venv", environment], folder);
    run(program, ["-m", "pip", "install", "--quiet", "-r", join(sources, "python", "requirements.txt")], folder);
    const generated = join(folder, "generated");
    mkdirSync(generated, { recursive: true });
    const outputs = [`--python_out=${generated}`, `--grpc_python_out=${generated}`];
    run(program, ["-m", "grpc_tools.protoc", "-I", protoFolder, ...outputs, ...protoFiles], protoFolder);
    return { program, args: [join(sources, "python", "interop.py")], env: { PYTHONPATH: generated } };
  },
};

const java: Language = {
  name: "java",
  implementation: "grpc-java, netty",
  missing: () => firstMissing("java", "mvn"),
  prepare() {
    const folder = cacheFolder("java");
    const properties = [`-Dproto.folder=${protoFolder}`, `-Dbuild.folder=${folder}`];
    run("mvn", ["--quiet", "--batch-mode", ...properties, "package"], join(sources, "java"));
    return {
      program: "java",
      args: ["-cp", `${join(folder, "interop.jar")}:${join(folder, "lib")}/*`, "Interop"],
      env: {},
    };
  },
};

export const languages: readonly Language[] = [python, java];
