// Checks a key's chain of contributions, as snarkjs's `zkey verify` does but without the powers of tau:
// every contributor knew a secret, built on the one before, and beacons are what they claim to be; the key's delta is
// the last contribution's, and the verification key is this key's.
//
//   node contributions.mjs NODE_MODULES KEY VERIFICATION_KEY     prints {contributions, beacons, faults}
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { join } from "node:path"
import { pathToFileURL } from "node:url"

const [modules, keyPath, verificationKeyPath] = process.argv.slice(2)
const source = (name) => import(pathToFileURL(join(modules, "snarkjs", "src", name)))
const require = createRequire(join(modules, "snarkjs", "main.js"))
const { readBinFile } = require("@iden3/binfileutils")
const { blake2b } = require("@noble/hashes/blake2b")
const utils = await source("zkey_utils.js")
const misc = await source("misc.js")
const { hashToG2 } = await source("keypair.js")
const { getCurveFromQ } = await source("curves.js")

const faults = []
const beacons = []
const { fd, sections } = await readBinFile(keyPath, "zkey", 2)
const key = await utils.readHeader(fd, sections, false)
const curve = await getCurveFromQ(key.q)
const { csHash, contributions } = await utils.readMPCParams(fd, curve, sections)
await fd.close()

const transcript = blake2b.create({ dkLen: 64 })
transcript.update(csHash)
let delta = curve.G1.g
for (const [index, one] of contributions.entries()) {
    const fault = (text) => faults.push(`contribution ${index + 1}: ${text}`)
    const hasher = misc.cloneHasher(transcript)
    utils.hashG1(hasher, curve, one.delta.g1_s)
    utils.hashG1(hasher, curve, one.delta.g1_sx)
    if (!misc.hashIsEqual(hasher.digest(), one.transcript)) fault("its transcript does not continue the one before")
    const g2 = hashToG2(curve, one.transcript)
    if ((await misc.sameRatio(curve, one.delta.g1_s, one.delta.g1_sx, g2, one.delta.g2_spx)) !== true)
        fault("its maker did not know the secret")
    if ((await misc.sameRatio(curve, delta, one.deltaAfter, g2, one.delta.g2_spx)) !== true)
        fault("it does not build on the one before")
    if (one.type === 1) {
        beacons.push(Buffer.from(one.beaconHash).toString("hex"))
        const rng = await misc.rngFromBeaconParams(one.beaconHash, one.numIterationsExp)
        const secret = curve.Fr.fromRng(rng)
        const g1 = curve.G1.toAffine(curve.G1.fromRng(rng))
        const isEqual = curve.G1.eq(g1, one.delta.g1_s) && curve.G1.eq(curve.G1.timesFr(g1, secret), one.delta.g1_sx)
        if (!isEqual) fault("it does not follow from its beacon")
    }
    utils.hashPubKey(transcript, curve, one)
    delta = one.deltaAfter
}
if (contributions.length === 0) faults.push("the key has no contribution")
if (!curve.G1.eq(key.vk_delta_1, delta)) faults.push("the key's delta is not the last contribution's")
if ((await misc.sameRatio(curve, curve.G1.g, delta, curve.G2.g, key.vk_delta_2)) !== true)
    faults.push("the key's two deltas differ")

const claimed = JSON.parse(readFileSync(verificationKeyPath))
const text = (group, point) => {
    const strings = (value) => (Array.isArray(value) ? value.map(strings) : BigInt(value).toString())
    return JSON.stringify(strings(group.toObject(point)))
}
for (const [name, group, point] of [
    ["vk_alpha_1", curve.G1, key.vk_alpha_1],
    ["vk_beta_2", curve.G2, key.vk_beta_2],
    ["vk_gamma_2", curve.G2, key.vk_gamma_2],
    ["vk_delta_2", curve.G2, key.vk_delta_2],
])
    if (text(group, point) !== JSON.stringify(claimed[name])) faults.push(`verification key: ${name} is another`)
if (claimed.nPublic !== key.nPublic) faults.push("verification key: another number of public signals")

process.stdout.write(JSON.stringify({ contributions: contributions.length, beacons, faults }), () => process.exit(0))
