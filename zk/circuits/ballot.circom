pragma circom 2.1.6;

include "circomlib/circuits/poseidon.circom";
include "circomlib/circuits/bitify.circom";

// One ballot: how many votes each option gets, each 0 … 2^16 − 1.
//
// The votes are packed into one field element, 16 bits an option. The range checks make the packing injective,
// so the commitment Poseidon(election, packed, salt) binds every vote, and the election.
template Ballot(nOptions) {
    signal input election;
    signal input votes[nOptions];
    signal input salt;
    signal output packed;
    signal output commitment;

    component bits[nOptions];
    var sum = 0;
    for (var j = 0; j < nOptions; j++) {
        bits[j] = Num2Bits(16);
        bits[j].in <== votes[j];
        sum += votes[j] * (1 << (16 * j));
    }
    packed <== sum;

    component hash = Poseidon(3);
    hash.inputs[0] <== election;
    hash.inputs[1] <== packed;
    hash.inputs[2] <== salt;
    commitment <== hash.out;
}
