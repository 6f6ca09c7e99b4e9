"""Vectorised makers of Arrow columns: no Python object for a value."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MICROSECONDS = pa.timestamp("us", tz="UTC")
_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def mix(values):
    """SplitMix64's finaliser: a bijection of 64-bit numbers that leaves no pattern."""
    x = np.asarray(values, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def bitmap(valid):
    """A validity bitmap and its number of nulls."""
    return pa.py_buffer(np.packbits(valid, bitorder="little").tobytes()), int(len(valid) - np.count_nonzero(valid))


def _texts(matrix, valid=None):
    """An array of texts of one width, out of their bytes."""
    rows, width = matrix.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(width)
    bits, nulls = (None, 0) if valid is None else bitmap(valid)
    data = pa.py_buffer(np.ascontiguousarray(matrix).tobytes())
    return pa.Array.from_buffers(pa.string(), rows, [bits, pa.py_buffer(offsets.tobytes()), data], nulls)


def hexadecimal(values, valid=None):
    """16 hex digits for each number; 32 for pairs of numbers."""
    values = np.asarray(values, dtype=np.uint64)
    raw = values.astype(">u8").view(np.uint8).reshape(len(values), -1)
    digits = np.empty((raw.shape[0], raw.shape[1] * 2), dtype=np.uint8)
    digits[:, 0::2] = _HEX[raw >> 4]
    digits[:, 1::2] = _HEX[raw & 15]
    return _texts(digits, valid)


def decimal(values, width, prefix=b"", valid=None):
    """`width` decimal digits with leading zeros, behind a prefix."""
    values = np.asarray(values, dtype=np.int64)
    start = len(prefix)
    matrix = np.empty((len(values), start + width), dtype=np.uint8)
    matrix[:, :start] = np.frombuffer(prefix, dtype=np.uint8)
    for place in range(width):
        matrix[:, start + width - 1 - place] = 48 + (values // 10**place) % 10
    return _texts(matrix, valid)


def masked(values, valid, kind=None):
    """Numbers with nulls; times are microseconds."""
    return pa.array(values, type=kind, mask=None if valid is None else ~valid)


def times(values, valid=None):
    return pa.array(values.astype(np.int64), mask=None if valid is None else ~valid).cast(MICROSECONDS)


def chosen(words, indices, valid=None):
    """The word at each index."""
    return pc.take(pa.array(words, pa.string()), masked(indices.astype(np.int32), valid))


def structure(**children):
    """A struct that is null where all its children are."""
    arrays = list(children.values())
    empty = np.ones(len(arrays[0]), dtype=bool)
    for array in arrays:
        empty &= array.is_null().to_numpy(zero_copy_only=False)
    mask = pa.array(empty) if empty.any() else None
    return pa.StructArray.from_arrays(arrays, names=list(children), mask=mask)


def offsets(lengths, valid=None):
    """Offsets of lists of these lengths; where it is null, an element of a list is."""
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    if valid is None:
        return pa.array(ends)
    return pa.array(ends, mask=np.concatenate([~valid, [False]]))
