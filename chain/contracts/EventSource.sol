// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Emits ElectionManager's events in bulk, for the indexer's benchmark and fault runs.
/// @dev Never deployed outside of a development chain.
contract EventSource {
    event ElectionCreated(
        uint256 indexed id,
        bytes32 metadataHash,
        uint64 startBlock,
        uint64 endBlock,
        uint8 options,
        uint256 censusRoot,
        address verifier
    );
    event VoteCast(uint256 indexed id, uint256 indexed nullifier, uint8 choice);

    function create(uint256 id, bytes32 metadataHash, uint64 startBlock, uint64 endBlock, uint8 options) external {
        emit ElectionCreated(id, metadataHash, startBlock, endBlock, options, 0, address(0));
    }

    /// @notice Cast `count` votes with nullifiers from `first` on, choices in turn.
    function vote(uint256 id, uint256 first, uint256 count, uint8 options) external {
        for (uint256 n = first; n < first + count; n++) {
            emit VoteCast(id, uint256(keccak256(abi.encode(n))) >> 8, uint8(n % options));
        }
    }
}
