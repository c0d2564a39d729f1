"""Our tree against pymerkle, an implementation by others, and against itself."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree, verify_consistency, verify_inclusion
from pymerkle.hasher import MerkleHasher

from audit import merkle

MAX = 1500
RECORDS = [hashlib.sha256(b"%d" % number).digest() for number in range(MAX)]
LEAVES = [merkle.leaf_hash(record) for record in RECORDS]


def read(height, index):
    return merkle.perfect_root(LEAVES[index << height : (index + 1) << height])


@pytest.fixture(scope="module")
def other():
    tree = InmemoryTree(algorithm="sha256")
    for record in RECORDS:
        tree.append_entry(record)
    return tree


sizes = st.integers(1, MAX)


@given(size=sizes)
@settings(max_examples=50, deadline=None)
def test_the_root_is_what_pymerkle_computes(other, size):
    assert merkle.root_hash(size, read) == other.get_root(size)


@pytest.mark.slow
@given(data=st.data(), size=sizes)
@settings(max_examples=80, deadline=None)
def test_an_inclusion_proof_convinces_pymerkle_and_us_of_this_leaf_alone(other, data, size):
    index = data.draw(st.integers(0, size - 1))
    path, root = merkle.inclusion_proof(index, size, read), merkle.root_hash(size, read)
    theirs = other.prove_inclusion(index + 1, size)
    assert set(path) <= set(theirs.path)
    verify_inclusion(MerkleHasher("sha256", security=True).hash_buff(RECORDS[index]), root, theirs)
    assert merkle.verify_inclusion(leaf=LEAVES[index], index=index, size=size, path=path, root=root)
    wrong = data.draw(st.integers(0, size - 1))
    if wrong != index:
        assert not merkle.verify_inclusion(leaf=LEAVES[wrong], index=index, size=size, path=path, root=root)
        assert not merkle.verify_inclusion(leaf=LEAVES[index], index=wrong, size=size, path=path, root=root)
    assert not merkle.verify_inclusion(leaf=LEAVES[index], index=index, size=size, path=[*path, root], root=root)
    if path:
        assert not merkle.verify_inclusion(leaf=LEAVES[index], index=index, size=size, path=path[:-1], root=root)


@given(data=st.data(), new=sizes)
@settings(max_examples=80, deadline=None)
def test_a_consistency_proof_convinces_pymerkle_and_us_of_this_pair_alone(other, data, new):
    old = data.draw(st.integers(1, new))
    path = merkle.consistency_proof(old, new, read)
    old_root, new_root = merkle.root_hash(old, read), merkle.root_hash(new, read)
    verify_consistency(old_root, new_root, other.prove_consistency(old, new))
    assert merkle.verify_consistency(old=old, new=new, path=path, old_root=old_root, new_root=new_root)
    if old != new:
        forged = hashlib.sha256(b"forged").digest()
        assert not merkle.verify_consistency(old=old, new=new, path=path, old_root=forged, new_root=new_root)
        assert not merkle.verify_consistency(old=old, new=new, path=path, old_root=old_root, new_root=forged)
        assert not merkle.verify_consistency(
            old=old, new=new, path=[*path, forged], old_root=old_root, new_root=new_root
        )


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0), (2**70, 5)])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index, size):
    with pytest.raises(ValueError):
        merkle.inclusion_proof(index, size, read)
    assert not merkle.verify_inclusion(leaf=LEAVES[0], index=index, size=size, path=[], root=LEAVES[0])


@given(size=st.integers(0, MAX), split=st.integers(0, MAX))
@settings(max_examples=30, deadline=None)
def test_a_tree_grown_leaf_by_leaf_has_the_same_root_and_serves_it_from_its_tiles(size, split):
    tree, tiles = merkle.GrowingTree(), {}
    for number, leaf in enumerate(LEAVES[:size]):
        if number == split:
            tree = merkle.GrowingTree(tree.size, tree.levels)
        for level, index, hashes, root in tree.append(leaf):
            tiles[level, index] = hashes
            assert root == merkle.perfect_root([hashes[at : at + 32] for at in range(0, 8192, 32)])
    assert tree.root() == merkle.root_hash(size, read)

    def fetch(level, index):
        return tiles.get((level, index)) or b"".join(tree.levels[level])

    if size:
        assert merkle.root_hash(size, merkle.tile_reader(fetch)) == tree.root()
        listed = merkle.tiles_over(0, size)
        assert {(level, index) for level, index, width in listed if width == 256} == set(tiles)


def test_tile_paths_are_those_of_the_specification():
    assert merkle.tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert merkle.tile_path("entries", 5, 112) == "tile/entries/005.p/112"
    assert merkle.parse_tile_path("x001/x234/067") == (1234067, 256)
    assert merkle.parse_tile_path("005.p/112") == (5, 112)


@given(st.integers(0, 2**50))
def test_tile_paths_read_back(index):
    assert merkle.parse_tile_path(merkle.index_path(index)) == (index, 256)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "1",
        "01",
        "x000/005",
        "005.p/0",
        "005.p/256",
        "005.p/012",
        "-01",
        "005/",
        "x" * 50,
        "٠٠١",
        "x001/" * 20 + "001",
    ],
)
def test_any_other_spelling_of_a_tile_path_is_refused(path):
    assert merkle.parse_tile_path(path) is None
