// Proves or verifies once with snarkjs: a request as JSON on stdin, the answer as JSON on stdout.
// The witness stays in memory.
import { readFileSync } from "node:fs"
import { pathToFileURL } from "node:url"
import { createRequire } from "node:module"

const [modules] = process.argv.slice(2)
const snarkjs = createRequire(pathToFileURL(`${modules}/`))("snarkjs")
const request = JSON.parse(readFileSync(0))

async function main() {
    const vkey = JSON.parse(readFileSync(request.vkey))
    if (request.op === "verify") {
        return { ok: true, is_valid: await snarkjs.groth16.verify(vkey, request.pubSignals, request.proof) }
    }
    const witness = { type: "mem" }
    try {
        await snarkjs.wtns.calculate(request.inputs, request.wasm, witness)
    } catch (error) {
        return { ok: false, code: "constraint_not_satisfied", detail: error.message.replace(/\s+/g, " ").trim() }
    }
    const { proof, publicSignals } = await snarkjs.groth16.prove(request.zkey, witness)
    if (!(await snarkjs.groth16.verify(vkey, publicSignals, proof))) {
        return { ok: false, code: "proof_not_valid", detail: "the proof made does not verify" }
    }
    return { ok: true, proof, pubSignals: publicSignals }
}

const answer = await main()
process.stdout.write(JSON.stringify(answer), () => process.exit(0))
