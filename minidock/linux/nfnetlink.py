# SPDX-License-Identifier: Apache-2.0
"""nf_tables over nfnetlink: look at tables and change the elements of maps.

Rules are made with nft(8), whose language people can read; what happens at each start of a
container is done here without starting a process. All tables are of family ip.
"""

import struct
from collections.abc import Sequence

from minidock.linux import sockets
from minidock.linux.netlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
    text,
)
from minidock.values import NamedTuple

_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_BATCH_BEGIN = 16  # NFNL_MSG_BATCH_BEGIN
_BATCH_END = 17
_DELETE_TABLE = _SUBSYSTEM << 8 | 2  # NFT_MSG_*
_GET_CHAIN = _SUBSYSTEM << 8 | 4
_GET_RULE = _SUBSYSTEM << 8 | 7
_NEW_ELEMENT = _SUBSYSTEM << 8 | 12
_DELETE_ELEMENT = _SUBSYSTEM << 8 | 14

_TABLE = 1  # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_ELEM_LIST_TABLE
_CHAIN_NAME = 3
_CHAIN_POLICY = 5
_RULE_CHAIN = 2
_LIST_SET = 2
_LIST_ELEMENTS = 3
_LIST_ELEMENT = 1
_ELEMENT_KEY = 1
_ELEMENT_DATA = 2
_DATA_VALUE = 1

_FAMILY = struct.Struct("!BBH")  # struct nfgenmsg: family, version, resource
_BATCH = _FAMILY.pack(0, 0, _SUBSYSTEM)
_IP = _FAMILY.pack(sockets.AF_INET, 0, 0)
_NF_DROP = 0


class Element(NamedTuple):
    """One element of map `name`; each part of a concatenation is padded to 4 bytes."""

    name: str
    key: bytes
    value: bytes


def has_chain(table: str, chain: str) -> bool:
    """Tell whether `table` has `chain`; raise OSError."""
    return _chain(table, chain) is not None


def drops_by_default(table: str, chain: str) -> bool:
    """Tell whether base chain `chain` exists and its policy is drop; raise OSError."""
    fields = _chain(table, chain) or {}
    policy = fields.get(_CHAIN_POLICY)
    return policy is not None and int.from_bytes(policy, "big") == _NF_DROP


def rules_mention(table: str, word: str) -> bool:
    """Tell whether some rule of `table` has `word` in an operand; raise OSError."""
    payload = _IP + text(_TABLE, table)
    message = Message(_GET_RULE, NLM_F_REQUEST | NLM_F_DUMP, payload, f"table {table}")
    with Netlink(NETLINK_NETFILTER) as link:
        answers = link.perform([message])
    return any(word.encode("ascii") + b"\0" in answer.payload for answer in answers)


def add_elements(table: str, elements: Sequence[Element]) -> None:
    """Add all `elements` or none.

    Raises:
        OSError: ENOENT without the table or map, EEXIST or EBUSY for a key with another value.
    """
    _batch([_element(_NEW_ELEMENT, NLM_F_CREATE, table, element) for element in elements])


def delete_elements(table: str, elements: Sequence[Element]) -> None:
    """Delete `elements`; one that isn't there, or no table at all, is no error."""
    messages = [_element(_DELETE_ELEMENT, 0, table, element) for element in elements]
    try:
        _batch(messages)
    except FileNotFoundError:
        # The kernel rolls a batch back as a whole: go one by one for those that exist.
        for message in messages:
            try:
                _batch([message])
            except FileNotFoundError:
                continue


def delete_table(table: str) -> None:
    """Delete `table` with all in it; none is no error."""
    payload = _IP + text(_TABLE, table)
    try:
        _batch([Message(_DELETE_TABLE, NLM_F_REQUEST | NLM_F_ACK, payload, f"table {table}")])
    except FileNotFoundError:
        return


def _chain(table: str, chain: str) -> dict[int, bytes] | None:
    payload = _IP + text(_TABLE, table) + text(_CHAIN_NAME, chain)
    message = Message(_GET_CHAIN, NLM_F_REQUEST | NLM_F_ACK, payload, f"chain {chain}")
    with Netlink(NETLINK_NETFILTER) as link:
        try:
            answers = link.perform([message])
        except FileNotFoundError:
            return None
    return attributes(answers[0].payload[_FAMILY.size :])


def _element(kind: int, flags: int, table: str, element: Element) -> Message:
    key = nested(_ELEMENT_KEY, attribute(_DATA_VALUE, element.key))
    value = nested(_ELEMENT_DATA, attribute(_DATA_VALUE, element.value))
    if kind == _DELETE_ELEMENT:
        value = b""
    payload = (
        _IP
        + text(_TABLE, table)
        + text(_LIST_SET, element.name)
        + nested(_LIST_ELEMENTS, nested(_LIST_ELEMENT, key, value))
    )
    what = f"map {element.name} of table {table}"
    return Message(kind, NLM_F_REQUEST | NLM_F_ACK | flags, payload, what)


def _batch(messages: Sequence[Message]) -> None:
    if not messages:
        return
    begin = Message(_BATCH_BEGIN, NLM_F_REQUEST, _BATCH, "batch")
    end = Message(_BATCH_END, NLM_F_REQUEST, _BATCH, "batch")
    with Netlink(NETLINK_NETFILTER) as link:
        link.perform([begin, *messages, end])
