// Reference values from circomlibjs, @zk-kit/lean-imt and snarkjs: a JSON request on stdin, the answer on stdout.
import { readFileSync } from "node:fs"
import { LeanIMT } from "@zk-kit/lean-imt"
import { buildBabyjub, buildEddsa, buildPoseidon } from "circomlibjs"
import * as snarkjs from "snarkjs"

const request = JSON.parse(readFileSync(0))
const poseidon = await buildPoseidon()
const hash = (inputs) => poseidon.F.toObject(poseidon(inputs.map(BigInt)))

const operations = {
    poseidon: ({ inputs }) => inputs.map((one) => hash(one)),
    tree({ sizes }) {
        return sizes.map((leaves) => {
            const tree = new LeanIMT((a, b) => hash([a, b]), leaves.map(BigInt))
            return { root: tree.root, proofs: leaves.map((_, index) => tree.generateProof(index)) }
        })
    },
    async eddsa({ keys }) {
        const eddsa = await buildEddsa()
        const F = (await buildBabyjub()).F
        return keys.map(({ key, message }) => {
            const secret = Buffer.from(key, "hex")
            const point = (p) => p.map((x) => F.toObject(x))
            const signature = eddsa.signPoseidon(secret, F.e(BigInt(message)))
            return { public_key: point(eddsa.prv2pub(secret)), r8: point(signature.R8), s: signature.S }
        })
    },
    witness: async ({ wasm, inputs }) => {
        const witness = { type: "mem" }
        await snarkjs.wtns.calculate(inputs, wasm, witness)
        return Buffer.from(witness.data).toString("hex")
    },
    calldata: ({ proof, signals }) => snarkjs.groth16.exportSolidityCallData(proof, signals)
}

const { op, ...rest } = request
const answer = await operations[op](rest)
const text = JSON.stringify(answer, (_, value) => (typeof value === "bigint" ? value.toString() : value))
process.stdout.write(text, () => process.exit(0))
