// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title The members of a contract that exists in the field, as the profile `toting-v2` knows it.
/// @dev For tests and development: it has no rules, anybody may create and tally.
contract TotingV2 {
    struct Election {
        uint128 start;
        uint128 end;
    }

    event ElectionCreated(uint256 indexed id, bytes32 meta, address verifier);
    event Tally(uint256 indexed id, uint256 A, uint256 B);

    uint256 public nextId;
    mapping(uint256 id => Election) public elections;

    function createElection(bytes32 meta, address verifier, uint128 start, uint128 end) external returns (uint256 id) {
        id = nextId++;
        elections[id] = Election(start, end);
        emit ElectionCreated(id, meta, verifier);
    }

    function tally(uint256 id, uint256 a, uint256 b) external {
        emit Tally(id, a, b);
    }
}

/// @title Its older form: the same topic 0, but `meta` is indexed and `id` is not.
contract TotingV2Older {
    struct Election {
        uint128 start;
        uint128 end;
    }

    event ElectionCreated(uint256 id, bytes32 indexed meta, address verifier);
    event Tally(uint256 indexed id, uint256 A, uint256 B);

    uint256 public nextId;
    mapping(uint256 id => Election) public elections;

    function createElection(bytes32 meta, address verifier, uint128 start, uint128 end) external returns (uint256 id) {
        id = nextId++;
        elections[id] = Election(start, end);
        emit ElectionCreated(id, meta, verifier);
    }

    function tally(uint256 id, uint256 a, uint256 b) external {
        emit Tally(id, a, b);
    }
}
