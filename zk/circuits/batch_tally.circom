pragma circom 2.1.6;

include "./ballot.circom";

// Totals of up to nLinks × 8 committed ballots.
//
// The commitments are absorbed in order, eight to a link: chain = Poseidon(chain, c₀ … c₇). Whoever knows the
// published commitments recomputes the chain, so a ballot that is left out, doubled, altered or moved gives another
// chainAfter. Slots from `count` on are padding: they are absorbed as 0, which is no ballot's commitment, and their
// votes must be zero. Totals stay below 128 × 2^16 and cannot wrap.
template BatchTally(nLinks, nOptions) {
    var nBallots = nLinks * 8;
    signal input election;
    signal input chainBefore;
    signal input count;
    signal input votes[nBallots][nOptions];
    signal input salts[nBallots];
    signal output chainAfter;
    signal output totals[nOptions];

    // Ones, then zeros, `count` ones in all.
    signal isCast[nBallots];
    var cast = 0;
    for (var i = 0; i < nBallots; i++) {
        isCast[i] <-- i < count ? 1 : 0;
        isCast[i] * (isCast[i] - 1) === 0;
        if (i > 0) {
            isCast[i] * (1 - isCast[i - 1]) === 0;
        }
        cast += isCast[i];
    }
    cast === count;

    component ballots[nBallots];
    signal absorbed[nBallots];
    var sums[nOptions];
    for (var i = 0; i < nBallots; i++) {
        ballots[i] = Ballot(nOptions);
        ballots[i].election <== election;
        ballots[i].votes <== votes[i];
        ballots[i].salt <== salts[i];
        ballots[i].packed * (1 - isCast[i]) === 0;
        absorbed[i] <== ballots[i].commitment * isCast[i];
        for (var j = 0; j < nOptions; j++) {
            sums[j] += votes[i][j];
        }
    }
    for (var j = 0; j < nOptions; j++) {
        totals[j] <== sums[j];
    }

    component links[nLinks];
    for (var k = 0; k < nLinks; k++) {
        links[k] = Poseidon(9);
        if (k == 0) {
            links[k].inputs[0] <== chainBefore;
        } else {
            links[k].inputs[0] <== links[k - 1].out;
        }
        for (var i = 0; i < 8; i++) {
            links[k].inputs[i + 1] <== absorbed[8 * k + i];
        }
    }
    chainAfter <== links[nLinks - 1].out;
}

component main {public [election, chainBefore, count]} = BatchTally(16, 10);
