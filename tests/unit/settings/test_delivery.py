"""Which settings of delivery and recovery contradict one another."""

from constellation_ws.settings.settings import without_effect
from tests.unit.settings.test_settings import faults, read

PING_TIMEOUT_2 = {"CONSTELLATION_PING_TIMEOUT_SECONDS": "2"}


def test_offsets_for_everybody_need_a_log() -> None:
    (line,) = faults(CONSTELLATION_DELIVERY="live", CONSTELLATION_RECOVERY="always")

    assert line.startswith("CONSTELLATION_RECOVERY=always needs CONSTELLATION_DELIVERY=durable")
    read(CONSTELLATION_DELIVERY="live")


def test_a_window_must_outlast_the_time_in_which_a_client_notices_a_cut() -> None:
    window = "CONSTELLATION_RECOVERY_WINDOW_SECONDS"
    (line,) = faults(**{window: "44.9"})

    assert line.startswith(f"{window} is '44.9'; it must be 45 or more")
    for variable in ("CONSTELLATION_PING_INTERVAL_SECONDS", "CONSTELLATION_PING_TIMEOUT_SECONDS"):
        assert variable in line
    read(**{window: "45"})
    read(**{window: "5", "CONSTELLATION_PING_INTERVAL_SECONDS": "3"} | PING_TIMEOUT_2)
    read(**{window: "5", "CONSTELLATION_RECOVERY": "off"})
    read(**{window: "5", "CONSTELLATION_DELIVERY": "live"})


def test_a_number_of_listeners_has_no_effect_where_all_pods_listen() -> None:
    listeners, partitions = "CONSTELLATION_LOG_LISTENERS", "CONSTELLATION_LOG_PARTITIONS"
    (line,) = without_effect(read(**{listeners: "2", partitions: "3"}))
    assert line.startswith(f"{listeners} has no effect")
    assert partitions in line
    for effective in ({listeners: "2"}, {listeners: "2", partitions: "1"}, {partitions: "3"}):
        assert without_effect(read(**effective)) == []
