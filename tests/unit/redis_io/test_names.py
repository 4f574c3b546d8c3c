"""What the gateway's keys and channels are called: pods of other releases use the same ones."""

from __future__ import annotations

from constellation_ws.redis_io.names import DEFAULT, Names


def test_every_name_is_the_same_in_each_release() -> None:
    names = Names("p")
    assert (names.log, names.commands, names.ticks) == ("p:events", "p:commands", "p:ticks")
    assert (names.heartbeat("a.1"), names.reply("a.1")) == ("p:heartbeat:a.1", "p:reply:a.1")
    assert names.presence_channel == "p:presence"
    in_the_slot_of_the_log = {
        names.state: "state",
        names.meeting: "meeting",
        names.pods: "presence:pods",
        names.readers: "presence:readers",
        names.peers: "peers",
        names.peer_key(7): "peer-key:7",
        names.users("a.1"): "presence:users:a.1",
        names.announced: "presence:announced",
        names.shares: "presence:shares",
        names.presence_state: "presence:state",
        names.presence_events: "presence:events",
        names.posting: "presence:posting",
        names.share("s"): "presence:share:s",
        names.session("pid"): "session:pid",
        names.once("r"): "once:r",
    }
    assert in_the_slot_of_the_log == {
        f"{{p:events}}:{name}": name for name in in_the_slot_of_the_log.values()
    }


def test_without_a_prefix_they_begin_with_the_name_of_the_gateway() -> None:
    assert DEFAULT.log == "constellation:events"
