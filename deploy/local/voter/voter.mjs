// A voter's device, with Semaphore's own libraries: reads one JSON request a line on stdin, answers one a line.
//
//   {"op": "identity", "private_key": "text"?}                       → {secret, public_key, commitment}
//   {"op": "register", "private_key", "scope"}                       → body of POST /elections/{id}/census
//   {"op": "prove", "private_key", "commitments" | "merkle_proof", "message", "scope"}
//                                                                    → {proof: Semaphore's, arguments: [choice, nullifier, points]}
//   {"op": "verify", "proof"}                                        → {is_valid}
//
// The private key, and so the witness, stays in this process.
import { createInterface } from "node:readline"
import { join } from "node:path"
import { Group } from "@semaphore-protocol/group"
import { Identity } from "@semaphore-protocol/identity"
import { generateProof, verifyProof } from "@semaphore-protocol/proof"

const DEPTH = 20
const artifacts = join(import.meta.dirname, "..", "..", "..", "node_modules", "@zk-kit", "semaphore-artifacts")
const files = { wasm: join(artifacts, `semaphore-${DEPTH}.wasm`), zkey: join(artifacts, `semaphore-${DEPTH}.zkey`) }

const operations = {
    identity({ private_key: key }) {
        const identity = new Identity(key)
        return {
            private_key: key ?? identity.export(),
            secret: identity.secretScalar,
            public_key: identity.publicKey,
            commitment: identity.commitment
        }
    },
    register({ private_key: key, scope }) {
        const identity = new Identity(key)
        const { R8, S } = identity.signMessage(BigInt(scope))
        return { public_key: identity.publicKey, signature: { r8: R8, s: S } }
    },
    async prove({ private_key: key, commitments, merkle_proof: given, message, scope }) {
        const identity = new Identity(key)
        // From all commitments, no leaf need be named to anybody; from a proof, the server has learned which.
        const source = commitments
            ? new Group(commitments.map(BigInt))
            : {
                  root: BigInt(given.root),
                  leaf: BigInt(given.leaf),
                  index: given.index,
                  siblings: given.siblings.map(BigInt)
              }
        const proof = await generateProof(identity, source, BigInt(message), BigInt(scope), DEPTH, files)
        return { proof, arguments: [proof.message, proof.nullifier, proof.points] }
    },
    async verify({ proof }) {
        return { is_valid: await verifyProof(proof) }
    }
}

const lines = createInterface({ input: process.stdin })
for await (const line of lines) {
    let answer
    try {
        const { op, ...request } = JSON.parse(line)
        answer = await operations[op](request)
    } catch (error) {
        answer = { error: error.message }
    }
    console.log(JSON.stringify(answer, (_, value) => (typeof value === "bigint" ? value.toString() : value)))
}
process.exit(0)
