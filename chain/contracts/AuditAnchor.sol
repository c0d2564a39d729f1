// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

/// @title Roots of the audit log, where not even its operator can rewrite them.
/// @notice Sizes only grow, and a size has one root: whoever rebuilds the log's tree must arrive at the roots here.
contract AuditAnchor is Ownable2Step {
    struct Anchor {
        uint64 treeSize;
        uint64 blockNumber;
        bytes32 root;
    }

    /// @notice All anchors, oldest first.
    Anchor[] public anchors;

    event Anchored(uint64 indexed treeSize, bytes32 root);

    error SizeNotGrown(uint64 treeSize, uint64 anchoredSize);

    constructor(address owner) Ownable(owner) {}

    function anchor(uint64 treeSize, bytes32 root) external onlyOwner {
        uint64 anchoredSize = anchors.length == 0 ? 0 : anchors[anchors.length - 1].treeSize;
        if (treeSize <= anchoredSize) revert SizeNotGrown(treeSize, anchoredSize);
        anchors.push(Anchor(treeSize, uint64(block.number), root));
        emit Anchored(treeSize, root);
    }

    function count() external view returns (uint256) {
        return anchors.length;
    }
}
