// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

/// @dev The Groth16 verifier of Semaphore v4.
interface IEligibilityVerifier {
    function verifyProof(
        uint256[2] calldata a,
        uint256[2][2] calldata b,
        uint256[2] calldata c,
        uint256[4] calldata signals,
        uint256 depth
    ) external view returns (bool);
}

/// @title Elections whose ballots are transactions and whose tally is counted by the contract itself.
/// @notice A vote is accepted in blocks `startBlock` to `endBlock - 1`. With an eligibility verifier, a
/// vote carries a Semaphore proof over the election's census, bound to this election (scope) and to the choice
/// (message), and each nullifier counts once; with the zero address as verifier, each sender has one vote.
contract ElectionManager is Ownable2Step {
    struct Election {
        uint64 startBlock;
        uint64 endBlock;
        uint8 options;
        bool isCancelled;
        bool isFinalised;
        address verifier;
        bytes32 metadataHash;
        uint256 censusRoot;
    }

    event ElectionCreated(
        uint256 indexed id,
        bytes32 metadataHash,
        uint64 startBlock,
        uint64 endBlock,
        uint8 options,
        uint256 censusRoot,
        address verifier
    );
    event CensusRootSet(uint256 indexed id, uint256 root);
    event VoteCast(uint256 indexed id, uint256 indexed nullifier, uint8 choice);
    event TallyPublished(uint256 indexed id, uint256[] totals);
    event ElectionCancelled(uint256 indexed id);

    error UnknownElection(uint256 id);
    error InvalidWindow(uint64 startBlock, uint64 endBlock);
    error InvalidOptions(uint8 options);
    error InvalidVerifier(address verifier);
    error InvalidCensusRoot(uint256 root);
    error CensusRootAlreadySet(uint256 id);
    error VotingNotStarted(uint256 id, uint64 startBlock);
    error VotingStarted(uint256 id, uint64 startBlock);
    error VotingEnded(uint256 id, uint64 endBlock);
    error VotingNotEnded(uint256 id, uint64 endBlock);
    error ElectionIsCancelled(uint256 id);
    error ElectionIsFinalised(uint256 id);
    error InvalidChoice(uint256 id, uint8 choice);
    error AlreadyVoted(uint256 id, uint256 nullifier);
    error ProofRequired(uint256 id);
    error ProofNotAccepted(uint256 id);
    error CensusRootMissing(uint256 id);
    error InvalidProof(uint256 id);

    /// @notice Depth of the census tree that eligibility proofs are made for.
    uint256 public constant CENSUS_DEPTH = 20;
    uint256 private constant FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617;

    uint256 public electionCount;
    mapping(uint256 id => Election) public elections;
    mapping(uint256 id => mapping(uint256 nullifier => bool)) public hasVoted;
    mapping(uint256 id => mapping(uint8 choice => uint256)) private _totals;

    constructor(address owner) Ownable(owner) {}

    /// @notice Create an election; ids count from 0. The census root may be 0 and set later, before the start.
    function createElection(
        bytes32 metadataHash,
        uint64 startBlock,
        uint64 endBlock,
        uint8 options,
        uint256 censusRoot,
        address verifier
    ) external onlyOwner returns (uint256 id) {
        if (startBlock <= block.number || endBlock <= startBlock) revert InvalidWindow(startBlock, endBlock);
        if (options < 2) revert InvalidOptions(options);
        // A verifier without code would accept nothing; a census without a verifier would promise a secret ballot
        // that is none.
        if (verifier != address(0) && verifier.code.length == 0) revert InvalidVerifier(verifier);
        if (censusRoot >= FIELD || (verifier == address(0) && censusRoot != 0)) revert InvalidCensusRoot(censusRoot);
        id = electionCount++;
        elections[id] =
            Election(startBlock, endBlock, options, false, false, verifier, metadataHash, censusRoot);
        emit ElectionCreated(id, metadataHash, startBlock, endBlock, options, censusRoot, verifier);
    }

    /// @notice Set the census root once, before the first block in which votes count.
    function setCensusRoot(uint256 id, uint256 root) external onlyOwner {
        Election storage election = _live(id);
        if (election.verifier == address(0) || root == 0 || root >= FIELD) revert InvalidCensusRoot(root);
        if (election.censusRoot != 0) revert CensusRootAlreadySet(id);
        if (block.number >= election.startBlock) revert VotingStarted(id, election.startBlock);
        election.censusRoot = root;
        emit CensusRootSet(id, root);
    }

    /// @notice Vote in an open ballot: one vote per sender, who stands in the nullifier's place.
    function vote(uint256 id, uint8 choice) external {
        Election storage election = _open(id, choice);
        if (election.verifier != address(0)) revert ProofRequired(id);
        _count(id, uint256(uint160(msg.sender)), choice);
    }

    /// @notice Vote in a secret ballot. Anybody may carry the transaction: the proof binds election and choice.
    function voteWithProof(uint256 id, uint8 choice, uint256 nullifier, uint256[8] calldata proof) external {
        Election storage election = _open(id, choice);
        if (election.verifier == address(0)) revert ProofNotAccepted(id);
        if (election.censusRoot == 0) revert CensusRootMissing(id);
        if (hasVoted[id][nullifier]) revert AlreadyVoted(id, nullifier);
        bool isValid = IEligibilityVerifier(election.verifier).verifyProof(
            [proof[0], proof[1]],
            [[proof[2], proof[3]], [proof[4], proof[5]]],
            [proof[6], proof[7]],
            [election.censusRoot, nullifier, _hash(choice), _hash(scopeOf(id))],
            CENSUS_DEPTH
        );
        if (!isValid) revert InvalidProof(id);
        _count(id, nullifier, choice);
    }

    /// @notice Cancel an election before its end; its votes stay visible and count for nothing. From `endBlock` on the
    /// result stands: nobody who does not like it can take it away.
    function cancel(uint256 id) external onlyOwner {
        Election storage election = _live(id);
        if (block.number >= election.endBlock) revert VotingEnded(id, election.endBlock);
        election.isCancelled = true;
        emit ElectionCancelled(id);
    }

    /// @notice Publish the totals from `endBlock` on. Anybody may: the totals are counted already.
    function finalise(uint256 id) external {
        Election storage election = _live(id);
        if (block.number < election.endBlock) revert VotingNotEnded(id, election.endBlock);
        election.isFinalised = true;
        emit TallyPublished(id, totalsOf(id));
    }

    /// @notice The votes per option so far.
    function totalsOf(uint256 id) public view returns (uint256[] memory totals) {
        uint8 options = elections[id].options;
        totals = new uint256[](options);
        for (uint8 choice = 0; choice < options; choice++) totals[choice] = _totals[id][choice];
    }

    /// @notice The Semaphore scope of an election: chain, contract and id, so a proof counts in one place only.
    function scopeOf(uint256 id) public view returns (uint256) {
        return uint256(keccak256(abi.encode(block.chainid, address(this), id))) >> 8;
    }

    function _live(uint256 id) private view returns (Election storage election) {
        election = elections[id];
        if (election.endBlock == 0) revert UnknownElection(id);
        if (election.isCancelled) revert ElectionIsCancelled(id);
        if (election.isFinalised) revert ElectionIsFinalised(id);
    }

    function _open(uint256 id, uint8 choice) private view returns (Election storage election) {
        election = _live(id);
        if (block.number < election.startBlock) revert VotingNotStarted(id, election.startBlock);
        if (block.number >= election.endBlock) revert VotingEnded(id, election.endBlock);
        if (choice >= election.options) revert InvalidChoice(id, choice);
    }

    function _count(uint256 id, uint256 nullifier, uint8 choice) private {
        if (hasVoted[id][nullifier]) revert AlreadyVoted(id, nullifier);
        hasVoted[id][nullifier] = true;
        _totals[id][choice]++;
        emit VoteCast(id, nullifier, choice);
    }

    /// @dev Semaphore's hash of message and scope into the scalar field.
    function _hash(uint256 value) private pure returns (uint256) {
        return uint256(keccak256(abi.encodePacked(value))) >> 8;
    }
}
