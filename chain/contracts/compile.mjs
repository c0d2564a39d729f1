// Compiles every contract in this folder with pinned settings and writes one artifact (ABI and bytecode) each.
//
//   node chain/contracts/compile.mjs           write the artifacts
//   node chain/contracts/compile.mjs --check   compare with the committed ones; exit 1 when they differ
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const folder = dirname(fileURLToPath(import.meta.url));
const artifacts = join(folder, "artifacts");
const modules = join(process.cwd(), "node_modules");
// Contracts of packages that are deployed as they are: artifact name → source.
const packaged = { SemaphoreVerifier: "@semaphore-protocol/contracts/base/SemaphoreVerifier.sol" };

const own = readdirSync(folder).filter((name) => name.endsWith(".sol")).sort();
const sources = Object.fromEntries(own.map((name) => [name, { content: readFileSync(join(folder, name), "utf8") }]));
for (const path of Object.values(packaged)) sources[path] = { content: readFileSync(join(modules, path), "utf8") };

const input = {
  language: "Solidity",
  sources,
  settings: {
    evmVersion: "cancun",
    optimizer: { enabled: true, runs: 200 },
    // No metadata hash: the bytecode depends on the code alone, so that machines agree on it.
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};
const findImport = (path) => {
  const file = join(modules, path);
  return existsSync(file) ? { contents: readFileSync(file, "utf8") } : { error: `not found: ${path}` };
};
const output = JSON.parse(require("solc").compile(JSON.stringify(input), { import: findImport }));
const errors = (output.errors ?? []).filter((error) => error.severity === "error");
for (const error of errors) console.error(error.formattedMessage);
if (errors.length) process.exit(1);

const wanted = {};
for (const [source, contracts] of Object.entries(output.contracts)) {
  for (const [name, contract] of Object.entries(contracts)) {
    const isOurs = own.includes(source) || packaged[name] === source;
    if (!isOurs || !contract.evm.bytecode.object) continue;
    const body = { contractName: name, source, abi: contract.abi, bytecode: `0x${contract.evm.bytecode.object}` };
    // One ABI entry a line: differences stay readable, files stay small.
    const abi = body.abi.map((entry) => `    ${JSON.stringify(entry)}`).join(",\n");
    wanted[`${name}.json`] =
      `{\n  "contractName": ${JSON.stringify(name)},\n  "source": ${JSON.stringify(source)},\n` +
      `  "abi": [\n${abi}\n  ],\n  "bytecode": ${JSON.stringify(body.bytecode)}\n}\n`;
  }
}

const present = existsSync(artifacts) ? readdirSync(artifacts).filter((name) => name.endsWith(".json")) : [];
if (process.argv.includes("--check")) {
  const differing = [...new Set([...Object.keys(wanted), ...present])].filter(
    (name) => !present.includes(name) || readFileSync(join(artifacts, name), "utf8") !== wanted[name],
  );
  if (differing.length) {
    console.error(`artifacts differ from their sources: ${differing.join(", ")}; run \`make contracts\``);
    process.exit(1);
  }
  console.log(`${present.length} artifacts equal their sources`);
} else {
  mkdirSync(artifacts, { recursive: true });
  for (const name of present) if (!wanted[name]) rmSync(join(artifacts, name));
  for (const [name, text] of Object.entries(wanted)) writeFileSync(join(artifacts, name), text);
  console.log(`wrote ${Object.keys(wanted).length} artifacts`);
}
