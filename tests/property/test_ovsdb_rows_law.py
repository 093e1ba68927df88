"""What the agent writes, the controller reads; what nobody wrote is refused, never misread."""

from hypothesis import given
from hypothesis import strategies as st
from ovsdb_strategies import keys, live_ports, names, pod_ports, rows_of

from ovsdb.errors import RowError
from ovsdb.rows import PodPort, datapath_id, external_ids, parse_port, port_name


@given(live_ports())
def test_reading_what_was_written_gives_the_same_port(port):
    assert parse_port(*rows_of(port)) == port


@given(pod_ports())
def test_writing_what_was_read_gives_the_same_keys(port):
    _, interface = rows_of(port)
    assert external_ids(parse_port(*rows_of(port))) == interface["external_ids"]


@given(pod_ports(), st.data())
def test_a_port_that_lacks_a_key_is_refused_by_its_name(port, data):
    row, interface = rows_of(port)
    missing = data.draw(st.sampled_from(sorted(set(interface["external_ids"]) - {"weft-pod-uid"})))
    del interface["external_ids"][missing]
    read, error = _read(row, interface)
    assert read is None
    assert port.name in error
    assert missing in error


@given(pod_ports(), st.sampled_from(["weft-ips", "attached-mac", "iface-id", "weft-ifname"]), st.text(max_size=20))
def test_any_other_text_is_refused_or_means_what_it_says(port, key, text):
    row, interface = rows_of(port)
    interface["external_ids"][key] = text
    read, error = _read(row, interface)
    if read is None:
        assert port.name in error
        assert key in error
    else:
        again = external_ids(read)[key]
        assert again in (text, text.lower()) or key == "weft-ips"


@given(names, names, keys)
def test_port_names_fit_the_kernel_and_never_change(namespace, pod, key):
    name = port_name(namespace, pod, key)
    assert len(name.encode()) <= 15
    assert name == port_name(namespace, pod, key)
    assert name[-7] == "-"
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")


@given(st.text(min_size=1, max_size=40))
def test_datapath_ids_are_never_zero(node):
    assert 0 < datapath_id(node) < 2**64


def _read(row, interface):
    try:
        return parse_port(row, interface), ""
    except RowError as e:
        return None, str(e)


@given(pod_ports())
def test_ports_are_values(port):
    assert hash(port) == hash(parse_port(*rows_of(port)))
    assert isinstance(port, PodPort)
