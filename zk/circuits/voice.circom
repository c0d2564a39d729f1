pragma circom 2.1.6;

include "circomlib/circuits/comparators.circom";
include "./ballot.circom";

// Quadratic voice credits: the squares of the votes add up to at most the budget.
//
// Ten squares of 16-bit numbers stay below 2^36, so nothing wraps around the field; the budget is checked to fit
// into 36 bits because the comparison is only sound for numbers of that size.
template Voice(nOptions) {
    signal input election;
    signal input budget;
    signal input votes[nOptions];
    signal input salt;
    signal output commitment;

    component ballot = Ballot(nOptions);
    ballot.election <== election;
    ballot.votes <== votes;
    ballot.salt <== salt;
    commitment <== ballot.commitment;

    signal squares[nOptions];
    var spent = 0;
    for (var j = 0; j < nOptions; j++) {
        squares[j] <== votes[j] * votes[j];
        spent += squares[j];
    }

    component budgetBits = Num2Bits(36);
    budgetBits.in <== budget;
    component isWithinBudget = LessEqThan(36);
    isWithinBudget.in[0] <== spent;
    isWithinBudget.in[1] <== budget;
    isWithinBudget.out === 1;
}

component main {public [election, budget]} = Voice(10);
