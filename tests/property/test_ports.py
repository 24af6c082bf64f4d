# SPDX-License-Identifier: Apache-2.0
"""Laws of the port syntax."""

from hypothesis import given
from hypothesis import strategies as st

from minidock.errors import InvalidArgument
from minidock.network.ports import (
    PROTOCOLS,
    PortMapping,
    describe,
    format_publish,
    parse_publish,
    plan_bindings,
)

ports = st.integers(1, 65535)
addresses = st.one_of(st.just(""), st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
mappings = st.builds(
    PortMapping,
    ports,
    st.sampled_from(PROTOCOLS),
    addresses,
    st.one_of(st.just(0), ports),
    st.just(0),
)


@given(mappings)
def test_publish_text_names_the_mapping_it_was_made_of(mapping: PortMapping) -> None:
    """parse_publish(format_publish(x)) == x."""
    assert parse_publish(format_publish(mapping)) == (mapping,)


@given(mappings, st.integers(1, 100))
def test_host_range_for_one_port_survives_a_round_trip(mapping: PortMapping, more: int) -> None:
    """A range of host ports to choose from is kept."""
    first = min(mapping.host_port or 1, 65000)
    wish = mapping._replace(host_port=first, last_host_port=first + more)
    assert parse_publish(format_publish(wish)) == (wish,)


@given(mappings)
def test_json_keeps_the_mapping(mapping: PortMapping) -> None:
    """from_json(to_json(x)) == x."""
    assert PortMapping.from_json(mapping.to_json()) == mapping


@given(st.one_of(st.text(max_size=30), st.text("0123456789:-/.[]tcpud", max_size=20)))
def test_hostile_text_gives_valid_mappings_or_our_error(text: str) -> None:
    """Whatever the text, the result is in range or an InvalidArgument."""
    try:
        found = parse_publish(text)
    except InvalidArgument:
        return
    for mapping in found:
        assert 1 <= mapping.container_port <= 65535
        assert 0 <= mapping.host_port <= 65535
        assert mapping.protocol in PROTOCOLS


@given(st.lists(mappings, max_size=8), st.lists(ports.map(str), max_size=8))
def test_publish_all_leaves_no_exposed_port_unpublished(
    publish: list[PortMapping], exposed: list[str]
) -> None:
    """Each exposed port is in the plan, and what was asked for too."""
    planned = plan_bindings(publish, True, exposed)
    assert {m.port for m in planned} >= {f"{port}/tcp" for port in exposed}
    assert set(planned) >= set(publish)
    assert len(planned) == len(set(planned))


@given(st.sets(ports, max_size=30))
def test_runs_cover_exactly_the_exposed_ports(exposed: set[int]) -> None:
    """Joining consecutive ports neither loses nor adds one."""
    shown = describe((), [str(port) for port in exposed])
    covered = set()
    for run in filter(None, shown.split(", ")):
        first, _, last = run.removesuffix("/tcp").partition("-")
        covered |= set(range(int(first), int(last or first) + 1))
    assert covered == exposed
